"""Regions and prompts of a picture that nobody labelled: four tones, from the darkest to the brightest.

A picture has no atlas. What can be said of any one without labels is where it is dark and where bright: the lumen of
a bowel, mucosa near and far, highlights. Thresholds are multi-level Otsu (Otsu 1979) on the smoothed brightness, so
they follow exposure. Such regions carry little meaning; what SAM adds is their outline and, with pretrained weights,
its image embedding (docs/decisions/0010; our design).

A picture is one pane: masks are `[structure, 1, row, column]`, in the order of `PICTURE.structures`.
"""

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_multiotsu

from scintiflow.modality import PICTURE
from scintiflow.sam.anatomy import Box, body_box
from scintiflow.sam.prompts import BOXED, Prompts
from scintiflow.structures import BODY, BONE

VERSION = 1  # of regions and prompts; raise it whenever they change
SMOOTHING_SHARE = 0.01  # of the longer side
SIDE_AT_MOST = 256  # pixels in which thresholds are looked for
POINTS = 7  # that ask for the one tone which is asked for by points


def brightness(picture: np.ndarray) -> np.ndarray:
    """Mean over the planes of `[plane, row, column]`, float32 `[1, row, column]`: the pane that masks lie on."""
    return picture.astype(np.float32).mean(axis=0, keepdims=True)


def picture_regions(picture: np.ndarray, spacing_mm: float = 1.0) -> np.ndarray:
    """Frame and four tones of levels `[plane, row, column]`, bool `[structure, 1, row, column]`.

    Every pixel has one tone. A picture with fewer than four levels has empty tones.
    """
    smooth = _smooth(picture)
    tones = np.digitize(smooth, _thresholds(smooth))
    return np.stack([np.ones_like(smooth, dtype=bool), *(tones == tone for tone in range(_tones()))])[:, None]


def picture_prompts(picture: np.ndarray, spacing_mm: float = 1.0) -> Prompts:
    """A box for the frame and for three tones, points for the other one, all computable from any picture.

    The box is that of a tone's largest part, the points are those deepest inside the tone. An empty tone is asked
    for by the frame's box and by the middle of the picture.
    """
    regions = picture_regions(picture)[:, 0]
    frame = Box(0, 0, *regions.shape[1:])
    boxes = [frame if structure == BODY else body_box(_largest_part(regions[structure])) for structure in BOXED]
    sides = [(box.top, box.left, box.bottom - 1, box.right - 1) for box in boxes]
    return Prompts((frame,), np.array(sides, dtype=np.float64)[:, None], _deepest(regions[BONE])[None])


def _tones() -> int:
    return len(PICTURE.structures) - 1


def _smooth(picture: np.ndarray) -> np.ndarray:
    grey = brightness(picture)[0]
    return ndimage.gaussian_filter(grey, SMOOTHING_SHARE * max(grey.shape))


def _thresholds(smooth: np.ndarray) -> np.ndarray:
    step = max(1, max(smooth.shape) // SIDE_AT_MOST)
    try:
        return threshold_multiotsu(smooth[::step, ::step], classes=_tones())
    except ValueError:  # fewer values than classes
        return np.linspace(0, 255, _tones() + 1)[1:-1]


def _largest_part(region: np.ndarray) -> np.ndarray:
    labels, parts = ndimage.label(region)
    if parts == 0:
        return region
    return labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))


def _deepest(region: np.ndarray) -> np.ndarray:
    """POINTS positions (row, column), each farthest from the region's edge and from the ones before."""
    if not region.any():
        return np.tile((np.array(region.shape) - 1) / 2, (POINTS, 1)).astype(np.float64)
    left = np.pad(region, 1)
    points: list[tuple[int, int]] = []
    for _ in range(POINTS):
        depth = ndimage.distance_transform_edt(left)
        row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
        if depth[row, column] > 0:
            points.append((int(row) - 1, int(column) - 1))
            left[row, column] = False
    points += [points[-1]] * (POINTS - len(points))
    return np.array(points, dtype=np.float64)
