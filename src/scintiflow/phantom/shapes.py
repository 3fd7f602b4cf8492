"""Solids as clouds of points: tubes, ellipsoids, shells and plates, each point with its volume.

Points are laid out by fixed low-discrepancy rules, never at random, about 2.6 mm apart or less: finer than the
camera resolves, so that a cloud projects as a smooth solid does. Positions are mm `[point, axis]` with
axes x (towards the child's left), y (from vertex to feet) and z (towards the front).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

GRAIN_MM = 2.6  # distance between neighbouring points of a solid
ALONG_MM = 1.8  # distance between neighbouring rings of a tube
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
PLASTIC = 1.2207440846057596  # root of x**4 = x + 1: its powers give the R3 low-discrepancy sequence


@dataclass(frozen=True)
class Shape:
    """A solid: points `[point, 3]` in mm, the volume each stands for in mm^3, and its activity.

    Activity is volume times density; a density of 1 is that of soft tissue.
    """

    position: np.ndarray
    volume: np.ndarray
    activity: np.ndarray


def offset(x: float, y: float, z: float) -> np.ndarray:
    """A step in mm, to be added to a place."""
    return np.array([x, y, z])


def tube(path: ArrayLike, radius: ArrayLike, density: ArrayLike = 1.0) -> Shape:
    """A round rod along a polyline.

    Args:
        path: vertices `[vertex, 3]` in mm.
        radius: mm, one number or one for each vertex.
        density: one number or one for each vertex.
    """
    vertices = np.asarray(path, dtype=np.float64)
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(vertices, axis=0), axis=1))])
    rings = max(int(np.ceil(lengths[-1] / ALONG_MM)), 3)
    at = (np.arange(rings) + 0.5) * lengths[-1] / rings
    centre = _along(at, lengths, vertices)
    tangent = _along(at + 0.5, lengths, vertices) - _along(at - 0.5, lengths, vertices)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across, upward = _perpendicular(tangent)
    radii = np.interp(at, lengths, np.broadcast_to(radius, lengths.shape))
    densities = np.interp(at, lengths, np.broadcast_to(density, lengths.shape))

    spokes = int(np.clip(np.ceil(np.pi * radii.max() ** 2 / GRAIN_MM**2), 7, 90))
    spoke = np.arange(spokes)
    angle = GOLDEN_ANGLE * (spoke[None, :] + 0.37 * np.arange(rings)[:, None])
    distance = radii[:, None] * np.sqrt((spoke[None, :] + 0.5) / spokes)
    position = (
        centre[:, None, :]
        + (distance * np.cos(angle))[..., None] * across[:, None, :]
        + (distance * np.sin(angle))[..., None] * upward[:, None, :]
    )
    volume = np.repeat(np.pi * radii**2 * lengths[-1] / rings / spokes, spokes)
    return Shape(position.reshape(-1, 3), volume, volume * np.repeat(densities, spokes))


def ellipsoid(centre: ArrayLike, radii: ArrayLike, density: float = 1.0, tilt: float = 0.0) -> Shape:
    """A filled ellipsoid, turned by `tilt` radians in the coronal plane (x towards y)."""
    semi_axes = np.asarray(radii, dtype=np.float64)
    volume = 4 / 3 * np.pi * float(np.prod(semi_axes))
    count = int(np.clip(volume / GRAIN_MM**3, 60, 20000))
    u, v, w = (np.mod(0.5 + np.arange(count) * PLASTIC**-power, 1.0) for power in (1, 2, 3))
    height = 2 * u - 1
    around = np.sqrt(1 - height**2)
    unit = np.stack([around * np.cos(2 * np.pi * v), height, around * np.sin(2 * np.pi * v)], axis=1)
    local = unit * np.cbrt(w)[:, None] * semi_axes
    position = np.asarray(centre, dtype=np.float64) + _turned(local, tilt)
    volumes = np.full(count, volume / count)
    return Shape(position, volumes, volumes * density)


def shell(centre: ArrayLike, radii: ArrayLike, thickness: float, density: float = 1.0) -> Shape:
    """The surface of an ellipsoid, as a wall of `thickness` mm."""
    a, b, c = np.asarray(radii, dtype=np.float64)
    count = int(np.clip(4 * np.pi * max(a * b, b * c, a * c) / GRAIN_MM**2, 500, 40000))
    height = 1 - 2 * (np.arange(count) + 0.5) / count
    around = np.sqrt(1 - height**2)
    angle = GOLDEN_ANGLE * np.arange(count)
    unit = np.stack([around * np.cos(angle), height, around * np.sin(angle)], axis=1)
    stretch = a * b * c * np.linalg.norm(unit / np.array([a, b, c]), axis=1)  # area of the wall per area of the ball
    volume = stretch * 4 * np.pi / count * thickness
    return Shape(np.asarray(centre, dtype=np.float64) + unit * np.array([a, b, c]), volume, volume * density)


def plate(one_edge: ArrayLike, other_edge: ArrayLike, thickness: float, density: float = 1.0) -> Shape:
    """A flat bone: the surface ruled between two polylines `[vertex, 3]` of equal length, `thickness` mm thick."""
    first, second = np.asarray(one_edge, dtype=np.float64), np.asarray(other_edge, dtype=np.float64)
    widest = np.linalg.norm(first - second, axis=1).max()
    longest = max(np.linalg.norm(np.diff(edge, axis=0), axis=1).sum() for edge in (first, second))
    rows, columns = (max(int(np.ceil(extent / GRAIN_MM)), 4) for extent in (longest, widest))
    at = (np.arange(rows) + 0.5) / rows * (len(first) - 1)
    knots = np.arange(len(first))
    start, end = _along(at, knots, first), _along(at, knots, second)
    share = ((np.arange(columns) + 0.5) / columns)[None, :, None]
    position = start[:, None, :] * (1 - share) + end[:, None, :] * share
    down = np.gradient(position, axis=0)
    side = (end - start)[:, None, :] / columns
    volume = np.linalg.norm(np.cross(down, np.broadcast_to(side, down.shape)), axis=2).ravel() * thickness
    return Shape(position.reshape(-1, 3), volume, volume * density)


def _along(at: np.ndarray, lengths: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(at, lengths, vertices[:, axis]) for axis in range(3)], axis=1)


def _perpendicular(tangent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    helper = np.where(np.abs(tangent[:, 2:3]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    across = np.cross(tangent, helper)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    return across, np.cross(tangent, across)


def _turned(local: np.ndarray, tilt: float) -> np.ndarray:
    cosine, sine = np.cos(tilt), np.sin(tilt)
    x, y, z = local.T
    return np.stack([cosine * x - sine * y, sine * x + cosine * y, z], axis=1)
