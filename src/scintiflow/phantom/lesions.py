"""Lesions of known place, size and contrast: Gaussian hot spots in bone.

A Gaussian stays a Gaussian under the camera's blur, so what each view shows of a lesion is known in
closed form, and its activity can be chosen to give a stated contrast in the view that shows it best.
"""

from dataclasses import dataclass

import numpy as np

from scintiflow.phantom.camera import COLUMNS, MU_PER_MM, ROWS, SPACING_MM, Skin, depth_and_sigma, pixel_of
from scintiflow.phantom.cloud import REGIONS, Cloud, Segment
from scintiflow.structures import BLADDER, BONE, INJECTION_SITE, KIDNEYS

SHARE_OF_REGION = {  # how often lesions sit where; our design: spread over the skeleton, common in spine and pelvis
    "skull": 0.10,
    "spine": 0.22,
    "sacrum": 0.04,
    "rib": 0.18,
    "sternum": 0.03,
    "clavicle": 0.03,
    "scapula": 0.05,
    "humerus": 0.07,
    "forearm": 0.02,
    "pelvis": 0.12,
    "femur": 0.08,
    "tibia": 0.05,
    "foot": 0.01,
}
SMALLEST_CONTRAST, LARGEST_CONTRAST = 0.4, 3.0
SMALLEST_SIGMA_MM, LARGEST_SIGMA_MM = 2.0, 6.5
CLEARANCE_MM = 28.0  # between lesions, and from kidneys, bladder and injection site
TRIES = 200
REACH_SIGMAS = 5.0


@dataclass(frozen=True)
class Seed:
    """A lesion before anyone looked at it: where in the child (mm), how wide, how hot in its best view."""

    position: np.ndarray
    segment: Segment
    region: str
    sigma_mm: float
    contrast: float


def draw_lesions(cloud: Cloud, at_most: int, generator: np.random.Generator) -> tuple[Seed, ...]:
    """From none to `at_most` lesions in the bones of a child, clear of each other and of the hot organs."""
    wanted = int(generator.integers(0, at_most + 1))
    names = list(SHARE_OF_REGION)
    weights = np.array([SHARE_OF_REGION[name] for name in names])
    crowded = np.isin(cloud.structure, (KIDNEYS, BLADDER, INJECTION_SITE))
    avoid = cloud.position[crowded][:, :2]
    seeds: list[Seed] = []
    for _ in range(TRIES):
        if len(seeds) == wanted:
            break
        region = names[int(generator.choice(len(names), p=weights / weights.sum()))]
        place = np.flatnonzero((cloud.structure == BONE) & (cloud.region == REGIONS.index(region)))
        point = int(place[generator.integers(len(place))])
        position = cloud.position[point]
        sigma, contrast = (
            float(np.exp(generator.uniform(np.log(low), np.log(high))))
            for low, high in ((SMALLEST_SIGMA_MM, LARGEST_SIGMA_MM), (SMALLEST_CONTRAST, LARGEST_CONTRAST))
        )
        taken = np.array([seed.position[:2] for seed in seeds]).reshape(-1, 2)
        if _clear(position[:2], avoid) and _clear(position[:2], taken):
            seeds.append(Seed(position.copy(), Segment(int(cloud.segment[point])), region, sigma, contrast))
    return tuple(seeds)


def spot(position: np.ndarray, sigma_mm: float, skin: Skin) -> tuple[np.ndarray, np.ndarray]:
    """What each view shows of a lesion of unit activity.

    Args:
        position: `[3]`, picture coordinates, mm.
        sigma_mm: the lesion's own width.

    Returns:
        The primary picture `[view, row, column]` (activity per pixel) and the projected sigma `[view]` in mm.
    """
    picture = np.zeros((2, ROWS, COLUMNS), dtype=np.float32)
    sigmas = np.zeros(2)
    for view in range(2):
        depth, blur = depth_and_sigma(position[None], skin, view)
        sigmas[view] = float(np.hypot(sigma_mm, blur[0]))
        row, column = pixel_of(position[None], view)[0]
        width = sigmas[view] / SPACING_MM
        profile = [_gaussian(np.arange(size), centre, width) for size, centre in ((ROWS, row), (COLUMNS, column))]
        picture[view] = np.exp(-MU_PER_MM * depth[0]) * np.outer(*profile)
    return picture, sigmas


def _gaussian(at: np.ndarray, centre: float, width: float) -> np.ndarray:
    away = (at - centre) / width
    return np.where(np.abs(away) < REACH_SIGMAS, np.exp(-0.5 * away**2), 0) / (width * np.sqrt(2 * np.pi))


def _clear(place: np.ndarray, others: np.ndarray) -> bool:
    return not len(others) or bool(np.linalg.norm(others - place, axis=1).min() > CLEARANCE_MM)
