"""Patches of a wide simulator: children put together anew for every patch, and seen by cameras of many kinds.

The networks of the pipeline learn from one hospital's scans. A model that anyone may use right after cloning must
know more than one simulator's idea of a child and one camera. So every patch draws its own uptake of each
structure, its size, build and direction, blur, texture, lesions, counts, acceleration and field of view; a small
share shows no child at all, but plain geometric shapes. The target is the expected picture itself: simulated
children have one, and it carries no noise, so that few steps teach much. Our design.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from scintiflow.dataset.patches import OPPOSITE_LEFT_OUT, Batch
from scintiflow.params import ScenesParams
from scintiflow.phantom.components import Components
from scintiflow.structures import BLADDER, BODY, BONE, INJECTION_SITE, KIDNEYS, STRUCTURES

BRIGHTNESS = {  # log range of each structure's uptake relative to the child's own, and how often it is absent
    BODY: (-0.6, 0.6, 0.0),
    BONE: (-0.7, 0.7, 0.0),
    KIDNEYS: (-1.5, 1.0, 0.1),
    BLADDER: (-2.0, 1.0, 0.15),
    INJECTION_SITE: (-3.0, 0.5, 0.3),
}
BODY_SHARE_OF_CENTRES = 0.92
LARGEST_STRETCH = 0.1  # one axis against the other
TURN_RADIANS = 0.12  # standard deviation
QUARTER_TURN_SHARE = 0.1
TEXTURE_SHARE, LARGEST_TEXTURE = 0.5, 0.2
COLD_LESIONS_PER_PATCH = 0.2
LESION_CONTRAST, LESION_SIGMA_PIXELS = (0.15, 4.0), (1.3, 5.0)
LESION_IN_BONE_SHARE = 0.8
CUT_SHARE = 0.06  # of patches: the field of view ends inside the matrix
FLOOR_COUNTS, HIGH_FLOOR_COUNTS, HIGH_FLOOR_SHARE = 0.003, 0.3, 0.1
NOMINAL_SHARE, NOMINAL_ACCELERATION = 0.5, (1.7, 2.3)
BODY_FROM_COUNTS = 0.1  # of shapes: where more is expected, it is weighed like a body
LARGEST_EXPECTED = 60000.0
LEVEL_OF_SHAPES = (0.5, 25.0)  # counts per pixel
OPPOSITE_LESION = (0.2, 5.0)  # how much brighter a lesion is in the opposite view: it lies nearer to one head
OPPOSITE_SHIFT_PIXELS = 0.7  # standard deviation, of what is left when the mirror is measured
OPPOSITE_ASTRAY_SHARE = 0.04  # of patches: heads that are set off against each other, and nobody knows


@dataclass(frozen=True)
class Scene:
    """Expected counts of a standard scan, what lies there, and what the other head expects there.

    All `[row, column]` in the frame of the patch. `body` is 1 or 0, `lesions` 1 at the centre of a hot lesion and
    falling off with it; both are 0 beyond the field of view. `opposite` is None where only one view is seen.
    """

    expected: np.ndarray
    body: np.ndarray
    lesions: np.ndarray
    opposite: np.ndarray | None = None


class SceneSampler:
    """`batch(step)` is a pure function of the children, the settings and `step`; `views` 2 adds the opposite view."""

    def __init__(
        self, children: Sequence[Components], params: ScenesParams, patch_pixels: int, patches: int, views: int = 1
    ) -> None:
        self._children, self._params = children, params
        self._pixels, self._patches, self._views = patch_pixels, patches, views
        self._bodies = [np.flatnonzero(child.body) for child in children]

    def batch(self, step: int) -> Batch:
        """The batch of this step; `target` is the expected standard scan, `target_share` 1."""
        generator = np.random.default_rng(np.random.SeedSequence([self._params.seed, step]))
        scenes = [self.scene(generator) for _ in range(self._patches)]
        k = np.array([self._acceleration(generator) for _ in scenes], np.float32)
        rapid = [generator.poisson(scene.expected / ratio) for scene, ratio in zip(scenes, k, strict=True)]
        body = np.stack([scene.body for scene in scenes])
        lesions = np.stack([scene.lesions for scene in scenes])
        masks = np.zeros((len(scenes), len(STRUCTURES), self._pixels, self._pixels), np.float32)
        masks[:, BODY] = body * (1 + self._params.lesion_weight * lesions)
        too_low = self._params.faint_lesion_weight * lesions
        return Batch(
            input=np.stack(rapid)[:, None].astype(np.float32),
            k=k,
            target=np.stack([scene.expected for scene in scenes])[:, None].astype(np.float32),
            target_share=np.ones(len(scenes), np.float32),
            masks=masks,
            opposite=self._opposites(scenes, k, generator) if self._views == 2 else None,
            weight_if_too_low=too_low[:, None].astype(np.float32) if self._params.faint_lesion_weight else None,
        )

    def _opposites(self, scenes: list[Scene], k: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Rapid counts of the other head, and 1 where they were measured, `[n, 2, row, column]`."""
        opposites = np.zeros((len(scenes), 2, self._pixels, self._pixels), np.float32)
        for opposite, scene, ratio in zip(opposites, scenes, k, strict=True):
            if scene.opposite is not None and generator.random() >= OPPOSITE_LEFT_OUT:
                opposite[0], opposite[1] = generator.poisson(scene.opposite / ratio), 1
        return opposites

    def scene(self, generator: np.random.Generator) -> Scene:
        """A patch of a child, or of plain shapes, as the camera sees it on average."""
        opposite = None
        if generator.random() < self._params.shapes_share:
            expected = self._shapes(generator)
            body, lesions = expected > BODY_FROM_COUNTS, np.zeros(expected.shape)
        else:
            expected, body, lesions, opposite = self._child(generator)
        high = generator.random() < HIGH_FLOOR_SHARE
        floor = generator.uniform(0, HIGH_FLOOR_COUNTS if high else FLOOR_COUNTS)
        seen = _field_of_view(expected.shape, generator) if generator.random() < CUT_SHARE else 1.0
        if opposite is not None:
            opposite = np.minimum((opposite + floor) * seen, LARGEST_EXPECTED)
        return Scene(np.minimum((expected + floor) * seen, LARGEST_EXPECTED), body * seen, lesions * seen, opposite)

    def _acceleration(self, generator: np.random.Generator) -> float:
        if generator.random() < NOMINAL_SHARE:
            return float(generator.uniform(*NOMINAL_ACCELERATION))
        return _log_uniform(generator, *self._params.accelerations)

    def _child(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        number = int(generator.integers(len(self._children)))
        child = self._children[number]
        view = int(generator.integers(child.body.shape[0]))
        rows, columns = self._coordinates(self._centre(number, view, generator), generator)
        uptake = np.array([_brightness(structure, generator) for structure in range(len(STRUCTURES))], np.float32)
        expected, bone, body = _exposed(child, view, uptake, rows, columns)
        if generator.random() < TEXTURE_SHARE:
            expected = expected * _texture(expected.shape, generator)
        blur = 0.0
        if generator.random() < self._params.blurred_share:
            blur = generator.uniform(0.3, self._params.largest_blur_pixels)
        pictures = [_blurred(expected, blur)]
        if self._views == 2:
            across = _across(columns, child.body.shape[2], generator)
            pictures.append(_blurred(_exposed(child, 1 - view, uptake, rows, across)[0], blur))
        inside = body > 0.5
        lesions = inside * self._add_lesions(pictures, bone, inside, generator)
        counts = _log_uniform(generator, *self._params.counts)
        return pictures[0] * counts, inside, lesions, pictures[1] * counts if self._views == 2 else None

    def _add_lesions(
        self, pictures: list[np.ndarray], bone: np.ndarray, body: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Put hot and cold Gaussian spots, most of the hot ones in bone, into the views; the hot spots, 0 to 1."""
        expected, hot = pictures[0].copy(), np.zeros(bone.shape)
        in_body = np.flatnonzero(body)
        if not len(in_body):
            return hot
        in_bone = np.flatnonzero(bone > 0.5 * expected)
        for _ in range(generator.poisson(self._params.lesions_per_patch)):
            places = in_bone if len(in_bone) and generator.random() < LESION_IN_BONE_SHARE else in_body
            spot, centre = _spot(places, expected.shape, generator)
            hot = np.maximum(hot, spot)
            brightness = _log_uniform(generator, *LESION_CONTRAST) * expected.flat[centre]
            for number, picture in enumerate(pictures):
                picture += brightness * spot * (_log_uniform(generator, *OPPOSITE_LESION) if number else 1.0)
        for _ in range(generator.poisson(COLD_LESIONS_PER_PATCH)):
            spot, _ = _spot(in_body, expected.shape, generator)
            depth = generator.uniform(0.2, 0.9)
            for number, picture in enumerate(pictures):
                picture *= 1 - depth * spot * (generator.uniform(0, 1) if number else 1.0)
        return hot

    def _centre(self, number: int, view: int, generator: np.random.Generator) -> tuple[int, int]:
        shape = self._children[number].body.shape
        if generator.random() < BODY_SHARE_OF_CENTRES:
            body = self._bodies[number]
            body = body[(body >= view * shape[1] * shape[2]) & (body < (view + 1) * shape[1] * shape[2])]
            pixel = int(body[generator.integers(len(body))]) - view * shape[1] * shape[2]
        else:
            pixel = int(generator.integers(shape[1] * shape[2]))
        return divmod(pixel, shape[2])

    def _coordinates(self, centre: tuple[int, int], generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Where in the child each pixel of the patch lies, rows and columns `[row, column]`."""
        scale = _log_uniform(generator, *self._params.scales)
        stretch = 1 + generator.uniform(-LARGEST_STRETCH, LARGEST_STRETCH)
        angle = generator.normal(0, TURN_RADIANS)
        if generator.random() < QUARTER_TURN_SHARE:
            angle += np.pi / 2
        mirror = 1 if generator.random() < 0.5 else -1
        offsets = np.arange(self._pixels) - (self._pixels - 1) / 2 + generator.uniform(-0.5, 0.5)
        down, right = offsets[:, None] / (scale * stretch), mirror * offsets[None, :] * stretch / scale
        cosine, sine = np.cos(angle), np.sin(angle)
        return centre[0] + cosine * down - sine * right, centre[1] + sine * down + cosine * right

    def _shapes(self, generator: np.random.Generator) -> np.ndarray:
        """Ellipses, bars and rings of random brightness, blurred: edges and spots that no anatomy explains."""
        size = self._pixels
        rows, columns = np.mgrid[:size, :size].astype(np.float32)
        picture = np.zeros((size, size), np.float32)
        for _ in range(int(generator.integers(4, 25))):
            angle = generator.uniform(0, np.pi)
            down, right = rows - generator.uniform(0, size), columns - generator.uniform(0, size)
            along, across = (
                np.cos(angle) * down + np.sin(angle) * right,
                np.cos(angle) * right - np.sin(angle) * down,
            )
            length, width = _log_uniform(generator, 2, size / 2), _log_uniform(generator, 1.5, size / 5)
            radius = np.hypot(along / length, across / width)
            inside = radius < 1 if generator.random() < 0.8 else (radius > 0.75) & (radius < 1)
            picture += inside * np.float32(_log_uniform(generator, 0.1, 2.0))
        blurred = gaussian_filter(picture, generator.uniform(1.0, 2.5))
        return blurred * (_log_uniform(generator, *LEVEL_OF_SHAPES) / max(float(blurred.mean()), 1e-3))


def _exposed(
    child: Components, view: int, uptake: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expected counts, those of bone alone, and the body at places in a view, all `[row, column]`."""
    window = _window(rows, child.body.shape[1]), _window(columns, child.body.shape[2])
    layers = child.layers[(slice(None), view, *window)].astype(np.float32)
    sources = np.tensordot(uptake, layers, 1), layers[BONE] * uptake[BONE], child.body[(view, *window)]
    at = rows - window[0].start, columns - window[1].start
    expected, bone, body = (
        map_coordinates(source.astype(np.float32), at, order=1, mode="constant") for source in sources
    )
    return expected, bone, body


def _across(columns: np.ndarray, width: int, generator: np.random.Generator) -> np.ndarray:
    """The columns of the opposite view that lie over these: mirrored, a little shifted, now and then astray."""
    shift = generator.normal(0, OPPOSITE_SHIFT_PIXELS)
    if generator.random() < OPPOSITE_ASTRAY_SHARE:
        shift = generator.uniform(-width / 4, width / 4)
    return width - 1 - columns + shift


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return gaussian_filter(image, sigma) if sigma else image


def _brightness(structure: int, generator: np.random.Generator) -> float:
    low, high, absent = BRIGHTNESS[structure]
    brightness = float(np.exp(generator.uniform(low, high)))
    return 0.0 if generator.random() < absent else brightness


def _window(coordinates: np.ndarray, length: int) -> slice:
    """The part of an axis that the coordinates touch; at least one pixel of it."""
    first = int(np.clip(np.floor(coordinates.min()), 0, length - 1))
    return slice(first, int(np.clip(np.ceil(coordinates.max()) + 1, first + 1, length)))


def _texture(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    field = gaussian_filter(generator.normal(size=shape), _log_uniform(generator, 2.0, 16.0), mode="wrap")
    return np.exp(generator.uniform(0, LARGEST_TEXTURE) * field / field.std())


def _spot(places: np.ndarray, shape: tuple[int, ...], generator: np.random.Generator) -> tuple[np.ndarray, int]:
    """A Gaussian of height 1 around one of the places (flat indices), and that place."""
    centre = int(places[generator.integers(len(places))])
    row, column = divmod(centre, shape[1])
    height, width = (_log_uniform(generator, *LESION_SIGMA_PIXELS) for _ in range(2))
    if generator.random() < 0.6:
        width = height
    down, right = np.arange(shape[0]) - row, np.arange(shape[1]) - column
    return np.outer(np.exp(-0.5 * (down / height) ** 2), np.exp(-0.5 * (right / width) ** 2)), centre


def _field_of_view(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Where something is measured: nothing is beyond a straight edge, along a row or a column."""
    seen = np.ones(shape, bool)
    edge, size = int(generator.integers(8, shape[0] - 8)), shape[0]
    beyond = slice(edge, size) if generator.random() < 0.5 else slice(0, edge)
    if generator.random() < 0.5:
        seen[beyond] = False
    else:
        seen[:, beyond] = False
    return seen


def _log_uniform(generator: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(generator.uniform(np.log(low), np.log(high))))
