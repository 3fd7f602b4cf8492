"""How a child's size, proportions and bone turnover change with age.

Medians of height and weight follow the usual paediatric growth charts (both sexes together); shares of
height and uptake ratios are our design, set so that the images resemble paediatric bone scans.
Lengths mm, weight kg, age years.
"""

from dataclasses import dataclass

import numpy as np

YOUNGEST, OLDEST = 0.5, 16.0

_YEARS = [0.5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
_HEIGHT_MM = [660, 750, 870, 955, 1025, 1090, 1155, 1220, 1280, 1335, 1385, 1435, 1495, 1560, 1630, 1685, 1720]
_WEIGHT_KG = [7.7, 9.7, 12.3, 14.3, 16.3, 18.3, 20.7, 23.2, 25.8, 29, 32.5, 36.5, 41, 46, 51.5, 57, 61]


def median_height_mm(age: float) -> float:
    return float(np.interp(age, _YEARS, _HEIGHT_MM))


def median_weight_kg(age: float) -> float:
    return float(np.interp(age, _YEARS, _WEIGHT_KG))


def head_share(age: float) -> float:
    """Vertex to chin, as a share of height: about a quarter in an infant, an eighth in an adult."""
    return float(np.interp(age, [0.5, 2, 5, 9, 13, 16], [0.235, 0.202, 0.178, 0.157, 0.144, 0.135]))


def plate_activity(bone_age: float) -> float:
    """Uptake of growth plates relative to a school child's: fading as they close."""
    return float(np.interp(bone_age, [0.5, 3, 12, 14, 15, 16, 17.5], [0.75, 0.9, 1.0, 0.8, 0.55, 0.32, 0.12]))


@dataclass(frozen=True)
class Build:
    """One child's size and landmarks. `y` is measured from the vertex, x from the midline, z from mid-depth.

    Attributes:
        head: vertex to chin, mm.
        notch_y, hip_y, knee_y, ankle_y: suprasternal notch, hip, knee and ankle joints, mm.
        girth: thickness of soft parts relative to a slim adult of the same height.
        bone_girth: the same for bones.
        plates: activity of growth plates, see `plate_activity`.
        uptake: activity of bone relative to soft tissue, 1 in a typical child.
    """

    age: float
    height: float
    weight: float
    head: float
    notch_y: float
    hip_y: float
    knee_y: float
    ankle_y: float
    girth: float
    bone_girth: float
    plates: float
    uptake: float

    def trunk(self, share: float) -> float:
        """y at a share of the way from the suprasternal notch (0) to the hip joints (1)."""
        return self.notch_y + share * (self.hip_y - self.notch_y)


def median_build(age: float) -> Build:
    """The typical child of an age."""
    return _build(age, median_height_mm(age), median_weight_kg(age), 1.0, age, 1.0, 1.0)


def draw_build(age: float, generator: np.random.Generator) -> Build:
    """A child of `age`, with the spread that children of one age have."""
    height = median_height_mm(age) * np.clip(generator.normal(1, 0.035), 0.92, 1.07)
    lean = (height / median_height_mm(age)) ** 2.3
    weight = median_weight_kg(age) * lean * np.exp(np.clip(generator.normal(0, 0.11), -0.25, 0.3))
    legs = np.clip(generator.normal(1, 0.015), 0.96, 1.04)
    bone_age = age + np.clip(generator.normal(0, 0.6), -1.2, 1.2)
    uptake = np.exp(np.clip(generator.normal(0, 0.15), -0.3, 0.3))
    plates = np.exp(np.clip(generator.normal(0, 0.18), -0.4, 0.4))
    return _build(age, float(height), float(weight), float(legs), float(bone_age), float(uptake), float(plates))


def _build(
    age: float, height: float, weight: float, legs: float, bone_age: float, uptake: float, plates: float
) -> Build:
    head = head_share(age) * height
    neck = float(np.interp(age, [0.5, 5, 16], [0.012, 0.028, 0.047])) * height
    hip_share = float(np.interp(age, [0.5, 2, 5, 9, 13, 16], [0.605, 0.56, 0.52, 0.495, 0.478, 0.476]))
    ankle_y = 0.955 * height
    hip_y = ankle_y - (0.955 - hip_share) * height * legs
    # A slim adult of height h (m) with the outline of `body.py` would weigh about 13.3 kg/m^3 * h^3.
    girth = float(np.clip(np.sqrt(weight / (13.3 * (height / 1000) ** 3)), 0.85, 1.35))
    return Build(
        age=age,
        height=height,
        weight=weight,
        head=head,
        notch_y=head + neck,
        hip_y=hip_y,
        knee_y=hip_y + 0.51 * (ankle_y - hip_y),
        ankle_y=ankle_y,
        girth=girth,
        bone_girth=float(np.interp(age, [0.5, 5, 16], [1.3, 1.1, 1.0])),
        plates=plates * plate_activity(bone_age),
        uptake=uptake * float(np.interp(age, [0.5, 3, 10], [1.35, 1.15, 1.0])),
    )
