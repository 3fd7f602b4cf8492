"""A child's active solids as one cloud of points, each point knowing what it belongs to."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from scintiflow.phantom.shapes import Shape

REGIONS = (
    "skull",
    "face",
    "spine",
    "sacrum",
    "rib",
    "sternum",
    "clavicle",
    "scapula",
    "humerus",
    "forearm",
    "hand",
    "pelvis",
    "femur",
    "tibia",
    "foot",
    "kidney",
    "bladder",
    "injection site",
)


class Segment(IntEnum):
    """Rigid pieces of the body: a pose turns each about its joint."""

    TRUNK = 0
    HEAD = 1
    ARM_RIGHT = 2
    ARM_LEFT = 3
    LEG_RIGHT = 4
    LEG_LEFT = 5


@dataclass(frozen=True)
class Cloud:
    """Points of all solids.

    Attributes:
        position: float64 `[point, axis]`, mm; x to the child's left, y from vertex to feet, z to the front.
        volume: mm^3 for which a point stands.
        activity: volume times density; 1 per mm^3 is the density of soft tissue.
        structure: uint8, index into `scintiflow.structures.STRUCTURES`.
        region: uint8, index into `REGIONS`.
        segment: uint8, a `Segment`.
    """

    position: np.ndarray
    volume: np.ndarray
    activity: np.ndarray
    structure: np.ndarray
    region: np.ndarray
    segment: np.ndarray

    def where(self, chosen: np.ndarray) -> "Cloud":
        """The points for which the boolean array `chosen` holds."""
        return Cloud(**{name: values[chosen] for name, values in vars(self).items()})


AddBone = Callable[..., None]  # (shape, region, segment): adds a bone to the child being built


class CloudBuilder:
    """Collects shapes; `uneven` is the relative spread of activity from one piece to the next."""

    def __init__(self, generator: np.random.Generator | None, uneven: float = 0.08) -> None:
        self._generator, self._uneven = generator, uneven
        self._parts: list[tuple[Shape, float, int, int, int]] = []

    def add(self, shape: Shape, structure: int, region: str, segment: Segment) -> None:
        factor = 1.0
        if self._generator is not None:
            factor = float(np.exp(np.clip(self._generator.normal(0, self._uneven), -0.25, 0.25)))
        self._parts.append((shape, factor, structure, REGIONS.index(region), int(segment)))

    def cloud(self) -> Cloud:
        def label(column: int) -> np.ndarray:
            return np.concatenate(
                [np.full(len(part[0].volume), part[column], dtype=np.uint8) for part in self._parts]
            )

        return Cloud(
            position=np.concatenate([part[0].position for part in self._parts]),
            volume=np.concatenate([part[0].volume for part in self._parts]),
            activity=np.concatenate([part[0].activity * part[1] for part in self._parts]),
            structure=label(2),
            region=label(3),
            segment=label(4),
        )
