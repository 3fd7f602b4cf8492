"""The reference model that comes along: small, whole, and worth its place."""

import numpy as np
import pytest

from scintiflow.evaluation.baselines import AnscombeBm3d
from scintiflow.phantom.child import Velocities, simulate_child
from scintiflow.restoration.restorer import FIRST, REFERENCE_FOLDER, load_restorer
from scintiflow.structures import BODY


@pytest.fixture(scope="module")
def child():
    return simulate_child(31, 0, Velocities(3.333, 6.667), 4.0, 6.0, 3)


def psnr(estimate: np.ndarray, child) -> float:
    expected = child.truth.mean_rapid * child.count_ratio
    body = child.truth.masks_rapid[BODY]
    return 10 * np.log10(40.0**2 / np.mean((estimate[body] - expected[body]) ** 2))


def test_it_is_far_better_than_bm3d_on_a_child_of_the_simulator(child):
    restored = load_restorer(REFERENCE_FOLDER)(child.counts_rapid, child.count_ratio)
    assert psnr(restored, child) > psnr(AnscombeBm3d()(child.counts_rapid, child.count_ratio), child) + 1.5
    expected = child.truth.mean_rapid * child.count_ratio
    body = child.truth.masks_rapid[BODY]
    assert restored[body].sum() == pytest.approx(expected[body].sum(), rel=0.01)


def test_one_view_of_any_size_is_enough(child):
    restore = load_restorer(REFERENCE_FOLDER)
    window = child.counts_rapid[:1, 301:634, 17:202]
    assert restore(window, 2.0).shape == window.shape


def test_it_is_small():
    assert (REFERENCE_FOLDER / FIRST).stat().st_size < 8e6
