"""A second, cruder simulator: children of capsules and arcs, drawn flat, with nothing in common with `phantom`.

It shares no code, no anatomy and no camera with what the reference model was trained on: uniform soft tissue,
no attenuation, no scatter, one blur everywhere. A model that only knows its own simulator shows it here.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

ROWS, COLUMNS = 1024, 256
BLUR_PIXELS = (1.6, 2.6)
COUNTS_PER_VIEW = (150e3, 700e3)
LESIONS = 4


def draw_stick_child(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One child: expected counts `[view, row, column]`, and the masks of body and bone of the same shape."""
    height = generator.uniform(330, 760)
    top, middle = (ROWS - height) / 2, COLUMNS / 2
    views = [_view(height, top, middle, posterior, generator) for posterior in (False, True)]
    mean, body, bone = (np.stack(parts) for parts in zip(*views, strict=True))
    mean *= generator.uniform(*COUNTS_PER_VIEW) / mean.sum(axis=(1, 2)).mean()
    return mean, body, bone


def _view(
    height: float, top: float, middle: float, posterior: bool, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    def at(across: float, down: float) -> tuple[float, float]:
        return top + down * height, middle + across * height

    tissue, bone = np.zeros((ROWS, COLUMNS)), np.zeros((ROWS, COLUMNS))
    for side in (-1, 1):
        for start, end, width, bone_width in (
            (at(0.10 * side, 0.20), at(0.13 * side, 0.37), 0.030, 0.010),  # upper arm
            (at(0.13 * side, 0.37), at(0.14 * side, 0.52), 0.022, 0.008),  # forearm
            (at(0.06 * side, 0.52), at(0.07 * side, 0.74), 0.052, 0.013),  # thigh
            (at(0.07 * side, 0.74), at(0.07 * side, 0.96), 0.034, 0.010),  # leg
        ):
            tissue = np.maximum(tissue, _capsule(start, end, width * height))
            bone += generator.uniform(0.6, 1.4) * _capsule(start, end, bone_width * height)
            for joint in (start, end):
                bone += generator.uniform(0.5, 3.0) * _capsule(joint, joint, 1.4 * bone_width * height)
        bone += 1.2 * _arc(at(0.055 * side, 0.49), 0.045 * height, 0.012 * height)  # pelvis
    tissue = np.maximum(tissue, _capsule(at(0, 0.23), at(0, 0.50), 0.10 * height))
    tissue = np.maximum(tissue, _capsule(at(0, 0.07), at(0, 0.09), 0.075 * height))
    bone += 1.5 * _arc(at(0, 0.08), 0.062 * height, 0.010 * height)  # skull
    for number in range(17):
        place = at(0, 0.17 + 0.019 * number)
        bone += generator.uniform(1.2, 2.2) * _capsule(place, place, 0.0085 * height)
    for number in range(9):
        for side in (-1, 1):
            start, end = at(0.01 * side, 0.215 + 0.019 * number), at(0.085 * side, 0.235 + 0.021 * number)
            bone += 0.7 * _capsule(start, end, 0.0045 * height)
    organs = 2.5 * _capsule(at(0, 0.515), at(0, 0.52), 0.022 * height)
    for side in (-1, 1):
        organs += (1.5 if posterior else 0.4) * _capsule(at(0.05 * side, 0.36), at(0.05 * side, 0.39), 0.02 * height)
    for row, column in zip(*_places(bone > 0.5, generator), strict=True):
        organs += generator.uniform(1, 4) * _capsule((row, column), (row, column), generator.uniform(1.5, 5))
    picture = gaussian_filter(0.5 * tissue + bone + organs, generator.uniform(*BLUR_PIXELS))
    return picture, tissue > 0, (bone > 0.4) & (tissue > 0)


def _places(inside: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.nonzero(inside)
    chosen = generator.integers(0, len(rows), LESIONS)
    return rows[chosen], columns[chosen]


def _capsule(start: tuple[float, float], end: tuple[float, float], radius: float) -> np.ndarray:
    """1 where a pixel lies within `radius` of the line from start to end (row, column), 0 elsewhere."""
    rows, columns = np.ogrid[:ROWS, :COLUMNS]
    down, right = end[0] - start[0], end[1] - start[1]
    length = max(down**2 + right**2, 1e-9)
    along = np.clip(((rows - start[0]) * down + (columns - start[1]) * right) / length, 0, 1)
    distance = np.hypot(rows - start[0] - along * down, columns - start[1] - along * right)
    return (distance <= radius).astype(np.float64)


def _arc(centre: tuple[float, float], radius: float, thickness: float) -> np.ndarray:
    rows, columns = np.ogrid[:ROWS, :COLUMNS]
    distance = np.hypot(rows - centre[0], columns - centre[1])
    return (np.abs(distance - radius) <= thickness / 2).astype(np.float64)
