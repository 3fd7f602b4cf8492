"""Thinning: two independent Poisson images, and no way to obtain (A, S) as a training pair."""

import dataclasses

import numpy as np
import pytest

from scintiflow.dataset.thinning import ThinnedPair, thinned_pair

MEAN, K = 8.0, 2.1


@pytest.fixture(scope="module")
def pair() -> ThinnedPair:
    standard = np.random.default_rng(1).poisson(MEAN, (400, 400)).astype(np.uint16)
    return thinned_pair(standard, K, np.random.default_rng(2))


def test_both_parts_are_poisson_with_the_promised_means(pair):
    for part, mean in ((pair.input, MEAN / pair.k), (pair.target, MEAN * pair.target_share)):
        assert part.mean() == pytest.approx(mean, rel=0.01)
        assert part.var() == pytest.approx(mean, rel=0.02)  # variance = mean: Poisson


def test_parts_add_up_to_the_scan():
    standard = np.random.default_rng(3).poisson(5, (2, 30, 20)).astype(np.uint16)
    pair = thinned_pair(standard, K, np.random.default_rng(4))
    assert pair.input.dtype == pair.target.dtype == np.uint16
    np.testing.assert_array_equal(pair.input + pair.target, standard)


def test_noise_of_input_and_target_is_independent_while_the_trap_is_plain(pair):
    noise = pair.input - MEAN / K
    independent = np.corrcoef(noise.ravel(), pair.target.ravel())[0, 1]
    trap = np.corrcoef(noise.ravel(), (pair.input + pair.target).ravel())[0, 1]
    assert abs(independent) < 4 / np.sqrt(noise.size)
    assert trap == pytest.approx(np.sqrt(1 / K), abs=0.02)  # what A -> S would teach: its own noise


def test_the_pair_holds_no_scan_that_contains_its_input():
    assert {field.name for field in dataclasses.fields(ThinnedPair)} == {"input", "k", "target", "target_share"}
    assert not any(name for name in ("standard", "scan", "total") if hasattr(ThinnedPair, name))


def test_equal_seeds_give_equal_parts_and_other_seeds_do_not():
    standard = np.full((40, 40), 9, np.uint16)
    first, again, other = (thinned_pair(standard, K, np.random.default_rng(seed)).input for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("k", [1.0, 0.5, float("nan")])
def test_a_ratio_that_does_not_thin_is_refused(k):
    with pytest.raises(ValueError, match="exceed 1"):
        thinned_pair(np.ones((2, 2), np.uint16), k, np.random.default_rng(0))


@pytest.mark.parametrize("counts", [np.ones((2, 2)), -np.ones((2, 2), int)])
def test_only_counts_are_thinned(counts):
    with pytest.raises(ValueError, match="integer counts"):
        thinned_pair(counts, 2.0, np.random.default_rng(0))
