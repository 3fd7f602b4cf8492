"""Shift and rotation between two noisy scans, against positions that were put in."""

import time

import numpy as np
import pytest
from scipy import ndimage

from scintiflow.dataset.registration import register_pair, register_view


def skeleton(seed: int, shape: tuple[int, int] = (1024, 256)) -> np.ndarray:
    """Expected counts of a standard view: a body, forty bones, one very hot spot."""
    generator = np.random.default_rng(seed)
    y, x = np.indices(shape)
    mean = 2.0 * np.exp(-(((y - 500) / 330) ** 4) - ((x - 128) / 60) ** 4)
    for _ in range(40):
        row, column = generator.uniform(150, 850), generator.uniform(70, 190)
        tall, wide = generator.uniform(4, 30), generator.uniform(4, 12)
        mean += generator.uniform(2, 9) * np.exp(-(((y - row) / tall) ** 2) - ((x - column) / wide) ** 2)
    return mean + 120 * np.exp(-(((y - 620) / 9) ** 2) - ((x - 128) / 9) ** 2)


def moved(mean: np.ndarray, row_shift: float, column_shift: float, degrees: float) -> np.ndarray:
    """`mean` with its content at c + R (r - c) + shift, by cubic interpolation."""
    centre = (np.array(mean.shape) - 1) / 2
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    offset = centre - turn.T @ (centre + np.array([row_shift, column_shift]))
    return np.clip(ndimage.affine_transform(mean, turn.T, offset, order=3), 0, None)


@pytest.mark.parametrize(
    ("seed", "row", "column", "degrees"),
    [(1, 0.0, 0.0, 0.0), (2, 5.4, -3.3, 0.0), (3, -8.7, 6.2, 1.5), (4, 1.25, 0.75, -2.0), (5, 20.0, -11.5, 0.8)],
)
def test_error_is_below_a_third_of_a_pixel_and_degree(seed, row, column, degrees):
    generator = np.random.default_rng(seed)
    mean = skeleton(seed)
    rapid = generator.poisson(mean / 2).astype(np.uint16)
    standard = generator.poisson(moved(mean, row, column, degrees)).astype(np.uint16)
    found = register_view(rapid, standard)
    assert found.row_shift == pytest.approx(row, abs=0.3)
    assert found.column_shift == pytest.approx(column, abs=0.3)
    assert found.rotation == pytest.approx(degrees, abs=0.3)
    assert 0 <= found.residual < 0.05


def test_sign_convention_is_the_manifest_s():
    """standard(r + row_shift, c + column_shift) shows what rapid(r, c) shows."""
    mean = skeleton(6)
    rapid = mean.astype(np.uint16)
    standard = np.roll(rapid, (4, -3), axis=(0, 1))
    assert standard[304, 117] == rapid[300, 120]
    found = register_view(rapid, standard)
    assert (round(found.row_shift), round(found.column_shift)) == (4, -3)


def test_different_children_leave_a_large_residual():
    generator = np.random.default_rng(0)
    views = [generator.poisson(skeleton(seed)).astype(np.uint16) for seed in (10, 11)]
    alike = register_view(views[0], generator.poisson(skeleton(10)).astype(np.uint16))
    assert register_view(*views).residual > 5 * alike.residual


def test_an_empty_view_has_no_position():
    found = register_view(np.zeros((64, 32), np.uint16), np.ones((64, 32), np.uint16))
    assert (found.row_shift, found.column_shift, found.rotation, found.residual) == (0, 0, 0, 1)
    with pytest.raises(ValueError, match="equal shape"):
        register_view(np.zeros((64, 32), np.uint16), np.ones((64, 16), np.uint16))


def test_a_study_takes_about_a_second():
    generator = np.random.default_rng(1)
    rapid = generator.poisson(np.stack([skeleton(1), skeleton(2)]) / 2).astype(np.uint16)
    standard = generator.poisson(np.stack([moved(skeleton(1), 3, 2, 1), moved(skeleton(2), 3, 2, 1)]))
    started = time.process_time()
    found = register_pair(rapid, standard.astype(np.uint16))
    assert len(found) == 2
    assert time.process_time() - started < 1.5
