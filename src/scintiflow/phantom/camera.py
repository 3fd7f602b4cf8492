"""A two-headed gamma camera: from a lying child to the expected picture of either view.

Every point's activity is weakened by exp(-mu * depth under the skin) and blurred by a Gaussian that
widens with the distance to the collimator; activity is binned into slabs by depth, one blur for each.
Scatter is a broad, weak copy of the picture. The numbers are those of a low-energy high-resolution
collimator at 140 keV; the model is our design.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from scintiflow.phantom.body import Column
from scintiflow.phantom.cloud import Cloud
from scintiflow.structures import BODY, STRUCTURES

ROWS, COLUMNS, SPACING_MM = 1024, 256, 2.26
MU_PER_MM = 0.013  # effective (broad beam) attenuation of soft tissue at 140 keV
FWHM_AT_COLLIMATOR_MM, FWHM_PER_MM = 7.2, 0.021
COLLIMATOR_GAP_MM = 30.0  # between the skin nearest to it and the collimator
SLABS = 6
SCATTER_SHARE, SCATTER_SIGMA_MM = 0.10, 26.0
SCATTER_GRID = 4  # the broad copy is computed on pixels this much coarser
MARGIN_PIXELS = 60  # rows kept free of computation beyond the child's head and feet
FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))


@dataclass(frozen=True)
class Skin:
    """Front and back surface, mm in z, `[row, column]`; NaN outside the body. Columns run to the child's left."""

    front: np.ndarray
    back: np.ndarray
    activity: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        return np.isfinite(self.front)


@dataclass(frozen=True)
class Exposure:
    """What each structure sends to each view before scatter, in activity per pixel.

    Attributes:
        layers: float32 `[structure, view, row, column]`, views as the camera sees them.
        thickness: float32 `[structure, view, row, column]`, mm of the structure behind each pixel.
        skin: the surfaces, in the anterior view's geometry.
    """

    layers: np.ndarray
    thickness: np.ndarray
    skin: Skin


def expose(cloud: Cloud, columns: tuple[Column, ...], texture: np.ndarray) -> Exposure:
    """Project a child that lies in picture coordinates.

    Args:
        cloud: bones and organs.
        columns: the outline, filled with soft tissue.
        texture: relative activity of soft tissue, `[row, column]` in the anterior view's geometry.
    """
    skin = surface(columns)
    layers = np.zeros((len(STRUCTURES), 2, ROWS, COLUMNS), dtype=np.float32)
    thickness = np.zeros_like(layers)
    layers[BODY] = _soft_tissue(skin, texture)
    thickness[BODY] = np.nan_to_num(skin.front - skin.back)
    for structure in range(1, len(STRUCTURES)):
        solid = cloud.where(cloud.structure == structure)
        if len(solid.volume):
            layers[structure], thickness[structure] = _solid(solid, skin)
    layers[:, 1], thickness[:, 1] = layers[:, 1, :, ::-1].copy(), thickness[:, 1, :, ::-1].copy()
    return Exposure(layers, thickness, skin)


def with_scatter(primary: np.ndarray) -> np.ndarray:
    """Add the broad copy that scattered photons make. `primary` is `[view, row, column]`."""
    step = SCATTER_GRID
    views, rows, columns = primary.shape
    coarse = primary.reshape(views, rows // step, step, columns // step, step).mean(axis=(2, 4))
    sigma = SCATTER_SIGMA_MM / SPACING_MM / step
    broad = np.stack([gaussian_filter(view, sigma, mode="constant") for view in coarse])
    return primary + SCATTER_SHARE * zoom(broad, (1, step, step), order=1, mode="nearest", grid_mode=True)


def surface(columns: tuple[Column, ...]) -> Skin:
    """Front and back of the union of all columns."""
    front = np.full((ROWS, COLUMNS), -np.inf)
    back = np.full((ROWS, COLUMNS), np.inf)
    activity = np.zeros((ROWS, COLUMNS))
    pixel_x = (np.arange(COLUMNS) - (COLUMNS - 1) / 2) * SPACING_MM
    for column in columns:
        rows = _rows_between(column.y.min(), column.y.max())
        at = (rows + 0.5) * SPACING_MM
        order = np.argsort(column.y)
        x, z, wide, deep = (
            np.interp(at, column.y[order], values[order])[:, None]
            for values in (column.x, column.z, column.half_width, column.half_depth)
        )
        half = deep * np.sqrt(np.clip(1 - ((pixel_x - x) / np.maximum(wide, 1e-6)) ** 2, 0, None))
        half = np.where(half > 0, half, np.nan)
        front[rows] = np.fmax(front[rows], z + half)
        back[rows] = np.fmin(back[rows], z - half)
        activity[rows] = np.fmax(activity[rows], np.where(half > 0, column.activity, 0))
    inside = front > back
    return Skin(np.where(inside, front, np.nan), np.where(inside, back, np.nan), activity)


def pixel_of(position: np.ndarray, view: int) -> np.ndarray:
    """Row and column `[point, 2]` of points in picture coordinates; a pixel's centre is at whole numbers."""
    side = 1 if view == 0 else -1
    rows = position[:, 1] / SPACING_MM - 0.5
    return np.stack([rows, side * position[:, 0] / SPACING_MM + (COLUMNS - 1) / 2], axis=1)


def depth_and_sigma(position: np.ndarray, skin: Skin, view: int) -> tuple[np.ndarray, np.ndarray]:
    """Depth under the skin towards a view's camera (mm) and the camera's blur there (sigma, mm)."""
    row, column = _nearest(position)
    near = skin.front[row, column] if view == 0 else skin.back[row, column]
    side = 1 if view == 0 else -1
    depth = np.clip(np.nan_to_num(side * (near - position[:, 2]), nan=2.0), 2.0, None)
    return depth, blur_sigma_mm(_distance(position[:, 2], skin, view))


def blur_sigma_mm(distance: np.ndarray | float) -> np.ndarray:
    """Standard deviation of the camera's blur at a distance (mm) from the collimator."""
    return (FWHM_AT_COLLIMATOR_MM + FWHM_PER_MM * np.asarray(distance)) / FWHM_PER_SIGMA


def _distance(z: np.ndarray | float, skin: Skin, view: int) -> np.ndarray:
    nearest = np.nanmax(skin.front) if view == 0 else np.nanmin(skin.back)
    side = 1 if view == 0 else -1
    return side * (nearest - np.asarray(z)) + COLLIMATOR_GAP_MM


def _soft_tissue(skin: Skin, texture: np.ndarray) -> np.ndarray:
    """Activity per pixel of soft tissue in both views: the integral of exp(-mu z) over the thickness."""
    through = (1 - np.exp(-MU_PER_MM * np.nan_to_num(skin.front - skin.back))) / MU_PER_MM
    even = (through * skin.activity * texture * SPACING_MM**2).astype(np.float32)
    rows = _used_rows(skin)
    views = np.zeros((2, ROWS, COLUMNS), dtype=np.float32)
    for view in range(2):
        middle = np.nanmean(skin.front if view == 0 else skin.back) / 2
        sigma = float(blur_sigma_mm(_distance(middle, skin, view))) / SPACING_MM
        views[view, rows] = gaussian_filter(even[rows], sigma, mode="constant")
    return views


def _solid(cloud: Cloud, skin: Skin) -> tuple[np.ndarray, np.ndarray]:
    """Blurred activity and plain thickness of a cloud, both `[view, row, column]` in the anterior geometry."""
    rows = _rows_between(cloud.position[:, 1].min(), cloud.position[:, 1].max(), 24)
    window = slice(rows[0], rows[-1] + 1)
    low, high = cloud.position[:, 2].min(), cloud.position[:, 2].max()
    planes = np.linspace(low - 1e-3, high + 1e-3, SLABS)
    shape = (SLABS, len(rows), COLUMNS)
    cells, shares = _corners(cloud.position, planes, rows[0], shape)
    layers = np.zeros((2, ROWS, COLUMNS), dtype=np.float32)
    for view in range(2):
        depth, _ = depth_and_sigma(cloud.position, skin, view)
        slabs = _binned(cells, shares, cloud.activity * np.exp(-MU_PER_MM * depth), shape)
        for plane, slab in zip(planes, slabs, strict=True):
            sigma = float(blur_sigma_mm(_distance(plane, skin, view))) / SPACING_MM
            layers[view, window] += gaussian_filter(slab, sigma, mode="constant")
    solid = _binned(cells, shares, cloud.volume / SPACING_MM**2, shape).sum(axis=0)
    thickness = np.zeros_like(layers)
    thickness[:, window] = solid
    return layers, thickness


def _corners(
    position: np.ndarray, planes: np.ndarray, first_row: int, shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The eight cells (slab, row, column) around each point, `[corner, point]`: flat index, and the share it gets."""
    pixel = pixel_of(position, 0)
    slab = (position[:, 2] - planes[0]) / (planes[1] - planes[0])
    place = np.stack([slab, pixel[:, 0] - first_row, pixel[:, 1]])
    whole = np.floor(place).astype(np.int64)
    rest = place - whole
    cells, shares = [], []
    for offsets in np.ndindex(2, 2, 2):
        cell = whole + np.array(offsets)[:, None]
        cells.append(np.ravel_multi_index(tuple(cell), shape, mode="clip"))
        weight = np.where(np.array(offsets)[:, None] == 1, rest, 1 - rest)
        shares.append(weight.prod(axis=0))
    return np.stack(cells), np.stack(shares)


def _binned(cells: np.ndarray, shares: np.ndarray, weight: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    total = np.zeros(int(np.prod(shape)))
    for cell, share in zip(cells, shares, strict=True):
        total += np.bincount(cell, weights=share * weight, minlength=total.size)
    return total.reshape(shape).astype(np.float32)


def _nearest(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pixel = np.rint(pixel_of(position, 0)).astype(np.int64)
    return np.clip(pixel[:, 0], 0, ROWS - 1), np.clip(pixel[:, 1], 0, COLUMNS - 1)


def _rows_between(top_mm: float, bottom_mm: float, margin: int = 0) -> np.ndarray:
    first = max(int(np.ceil(top_mm / SPACING_MM - 0.5)) - margin, 0)
    last = min(int(np.floor(bottom_mm / SPACING_MM - 0.5)) + margin, ROWS - 1)
    return np.arange(first, max(last, first) + 1)


def _used_rows(skin: Skin) -> slice:
    used = np.flatnonzero(skin.inside.any(axis=1))
    return slice(max(used[0] - 24, 0), min(used[-1] + 25, ROWS))
