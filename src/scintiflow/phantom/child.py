"""One simulated child: two separately acquired scans, and the truth behind them.

Child `index` of a cohort depends on (seed, index) and the recipe alone, never on the other children.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_closing, gaussian_filter, map_coordinates

from scintiflow.phantom.anatomy import Anatomy, draw_anatomy
from scintiflow.phantom.camera import COLUMNS, ROWS, SPACING_MM, Exposure, expose, pixel_of, with_scatter
from scintiflow.phantom.lesions import Seed, draw_lesions, spot
from scintiflow.phantom.pose import Pose, draw_pose, kept_inside, lie_down, moved, place_points
from scintiflow.phantom.truth import Lesion, Truth
from scintiflow.structures import BLADDER, BODY, BONE, INJECTION_SITE, KIDNEYS, STRUCTURES

TC99M_HALF_LIFE_S = 6.0067 * 3600
SMALLEST_COUNTS, LARGEST_COUNTS = 0.15e6, 2.0e6  # per view of a standard scan
LARGEST_PIXEL = 60000.0  # expected counts; a hotter injection site is cut off, as hospitals cover it with lead
FLOOR_COUNTS = 0.002  # room background per pixel of a standard scan
WEAKEST_CONTRAST = 0.05  # a lesion that raises a view's counts by less is not listed for that view
HALF_HEIGHT = np.sqrt(2 * np.log(2))

# A structure is marked where it projects at least `thick` mm and sends at least `share` of the expected counts.
MARKED = {BONE: (2.0, 0.4), KIDNEYS: (3.0, 0.10), BLADDER: (3.0, 0.10), INJECTION_SITE: (0.0, 0.5)}


@dataclass(frozen=True)
class Velocities:
    """Table velocities of the two scans, mm/s."""

    standard: float
    rapid: float


@dataclass(frozen=True)
class Child:
    """What one simulated child gives.

    Attributes:
        counts_rapid, counts_standard: uint16 `[view, row, column]`.
        truth: expected counts, masks, lesions.
        count_ratio: k, expected standard / rapid counts = velocity ratio x decay between the two starts.
        standard_first: which scan was acquired first.
        seconds_between: from the start of the first scan to the start of the second.
        mean_without_lesions: expected counts of the standard scan had the child no lesion.
    """

    index: int
    age: float
    anatomy: Anatomy
    counts_rapid: np.ndarray
    counts_standard: np.ndarray
    truth: Truth
    count_ratio: float
    standard_first: bool
    seconds_between: float
    mean_without_lesions: np.ndarray


def child_generators(seed: int, index: int, names: tuple[str, ...], first: int = 0) -> dict[str, np.random.Generator]:
    """An independent random generator for each purpose, from (seed, index) alone; `first` numbers the first name."""
    return {
        name: np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(index, number)))
        for number, name in enumerate(names, start=first)
    }


def simulate_child(
    seed: int,
    index: int,
    velocities: Velocities,
    youngest: float,
    oldest: float,
    lesions_at_most: int,
    age: float | None = None,
) -> Child:
    """Simulate child `index`. Its age is drawn between `youngest` and `oldest` years unless `age` is given."""
    draw = child_generators(seed, index, ("anatomy", "pose", "lesions", "texture", "protocol", "standard", "rapid"))
    drawn_age = float(draw["anatomy"].uniform(youngest, oldest))
    age = drawn_age if age is None else age
    anatomy = draw_anatomy(age, draw["anatomy"])
    lesions = draw_lesions(anatomy.cloud, lesions_at_most, draw["lesions"])
    texture = draw_texture(draw["texture"])
    poses = draw_poses(anatomy, draw["pose"])

    standard_first = bool(draw["protocol"].integers(2))
    seconds_between = _seconds_between(standard_first, velocities, draw["protocol"])
    decay = 0.5 ** ((-seconds_between if standard_first else seconds_between) / TC99M_HALF_LIFE_S)
    count_ratio = velocities.rapid / velocities.standard * decay
    wanted = _counts_per_view(age, draw["protocol"])

    exposures = [expose(*lie_down(anatomy, pose), texture) for pose in poses]
    healthy = with_scatter(exposures[0].layers.sum(axis=0))
    strengths = _strengths(lesions, anatomy, poses[0], exposures[0], healthy)
    standard, rapid = (
        _picture(exposure, pose, anatomy, lesions, strengths) for exposure, pose in zip(exposures, poses, strict=True)
    )
    scale = _scale(standard, wanted)
    mean_standard, mean_without = _expected(standard, scale), _expected(healthy, scale)
    mean_rapid = (_expected(rapid, scale) / count_ratio).astype(np.float32)
    truth = Truth(
        mean_rapid=mean_rapid,
        mean_standard=mean_standard,
        masks_rapid=_masks(exposures[1], rapid),
        masks_standard=_masks(exposures[0], standard),
        lesions=_listed(lesions, anatomy, poses, exposures[0], mean_standard, mean_without),
    )
    return Child(
        index=index,
        age=age,
        anatomy=anatomy,
        counts_rapid=draw["rapid"].poisson(mean_rapid).astype(np.uint16),
        counts_standard=draw["standard"].poisson(mean_standard).astype(np.uint16),
        truth=truth,
        count_ratio=count_ratio,
        standard_first=standard_first,
        seconds_between=seconds_between,
        mean_without_lesions=mean_without,
    )


def draw_poses(anatomy: Anatomy, generator: np.random.Generator) -> tuple[Pose, Pose]:
    """How the child lies in its two scans, standard and rapid."""
    first = kept_inside(draw_pose(anatomy, ROWS * SPACING_MM, generator), anatomy, COLUMNS * SPACING_MM)
    return first, kept_inside(moved(first, generator), anatomy, COLUMNS * SPACING_MM)


def draw_texture(generator: np.random.Generator) -> np.ndarray:
    """Soft tissue is a little uneven: smooth, about 8% up and down."""
    coarse = gaussian_filter(generator.normal(size=(ROWS // 8, COLUMNS // 8)), 1.6, mode="wrap")
    fine = np.kron(coarse / coarse.std(), np.ones((8, 8)))
    return np.clip(1 + 0.08 * gaussian_filter(fine, 4, mode="nearest"), 0.7, 1.3)


def _seconds_between(standard_first: bool, velocities: Velocities, generator: np.random.Generator) -> float:
    length = ROWS * SPACING_MM
    first = length / (velocities.standard if standard_first else velocities.rapid)
    return float(round(first + generator.uniform(60, 420)))


def typical_counts_per_view(age: float) -> float:
    """Counts of an average standard scan, mean of both views."""
    return 175e3 * (1 + 2.6 * age / 16)


def _counts_per_view(age: float, generator: np.random.Generator) -> float:
    """Counts of a standard scan, mean of both views: more in older children, widely spread by dose and waiting."""
    return float(typical_counts_per_view(age) * np.exp(np.clip(generator.normal(0, 0.33), -0.8, 1.0)))


def _scale(picture: np.ndarray, wanted: float) -> float:
    sums = picture.sum(axis=(1, 2), dtype=np.float64)
    scale = wanted / sums.mean()
    scale = max(scale, 1.02 * SMALLEST_COUNTS / sums.min())
    return float(min(scale, 0.98 * LARGEST_COUNTS / sums.max()))


def _expected(picture: np.ndarray, scale: float) -> np.ndarray:
    return np.minimum(picture * scale + FLOOR_COUNTS, LARGEST_PIXEL).astype(np.float32)


def _strengths(
    lesions: tuple[Seed, ...], anatomy: Anatomy, pose: Pose, exposure: Exposure, healthy: np.ndarray
) -> tuple[float, ...]:
    """Activity that gives each lesion its contrast against the `healthy` picture, in the view that shows it best."""
    strengths = []
    for lesion in lesions:
        place = place_points(lesion.position[None], lesion.segment, anatomy, pose)[0]
        alone, _ = spot(place, lesion.sigma_mm, exposure.skin)
        gains = [_at(alone, place, view) / _at(healthy, place, view) for view in range(2)]
        strengths.append(lesion.contrast / max(gains))
    return tuple(strengths)


def _picture(
    exposure: Exposure, pose: Pose, anatomy: Anatomy, lesions: tuple[Seed, ...], strengths: tuple[float, ...]
) -> np.ndarray:
    """The posed child's expected picture at unit exposure, `[view, row, column]`, lesions and scatter included."""
    primary = exposure.layers.sum(axis=0)
    for lesion, strength in zip(lesions, strengths, strict=True):
        place = place_points(lesion.position[None], lesion.segment, anatomy, pose)[0]
        primary += strength * spot(place, lesion.sigma_mm, exposure.skin)[0]
    return with_scatter(primary)


def _masks(exposure: Exposure, picture: np.ndarray) -> np.ndarray:
    masks = np.zeros((len(STRUCTURES), *picture.shape), dtype=bool)
    masks[BODY] = exposure.thickness[BODY] > 0
    for structure, (thick, share) in MARKED.items():
        visible = exposure.layers[structure] >= share * np.maximum(picture, 1e-9)
        for view in range(2):
            marked = visible[view] & (exposure.thickness[structure, view] >= thick)
            if structure == BONE:  # points of a cloud may leave pinholes
                marked = binary_closing(marked)
            masks[structure, view] = marked & masks[BODY, view]
    return masks


def _listed(
    lesions: tuple[Seed, ...],
    anatomy: Anatomy,
    poses: tuple[Pose, Pose],
    exposure: Exposure,
    mean_with: np.ndarray,
    mean_without: np.ndarray,
) -> tuple[Lesion, ...]:
    listed = []
    for lesion in lesions:
        standard, rapid = (place_points(lesion.position[None], lesion.segment, anatomy, pose)[0] for pose in poses)
        _, sigmas = spot(standard, lesion.sigma_mm, exposure.skin)
        for view in range(2):
            contrast = _at(mean_with, standard, view) / _at(mean_without, standard, view) - 1
            if contrast < WEAKEST_CONTRAST:
                continue
            row_standard, column_standard = pixel_of(standard[None], view)[0]
            row_rapid, column_rapid = pixel_of(rapid[None], view)[0]
            listed.append(
                Lesion(
                    view=view,
                    row_rapid=float(row_rapid),
                    column_rapid=float(column_rapid),
                    row_standard=float(row_standard),
                    column_standard=float(column_standard),
                    radius_mm=float(HALF_HEIGHT * sigmas[view]),
                    contrast=float(contrast),
                    region=lesion.region,
                )
            )
    return tuple(listed)


def _at(picture: np.ndarray, place: np.ndarray, view: int) -> float:
    """Value of `picture[view]` at a point in picture coordinates, bilinear."""
    row, column = pixel_of(place[None], view)[0]
    return float(map_coordinates(picture[view].astype(np.float64), [[row], [column]], order=1)[0])
