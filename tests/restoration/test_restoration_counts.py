"""Counts: the Gaussian start, preserved sums, and a loss whose minimum is the mean."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize_scalar

from scintiflow.params import NetworkParams
from scintiflow.restoration.cascade import FirstNetwork
from scintiflow.restoration.counts import count_true, gaussian_blur, poisson_deviance, restoration_loss
from scintiflow.restoration.restorer import RestorationNetwork

NETWORK = NetworkParams(width=8, blocks=[1, 1])
BLUR, K = 1.2, 2.06


def rapid_counts(shape=(2, 1, 61, 47), seed=0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(3.0, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 1, 64, 48), (2, 1, 61, 47), (1, 1, 33, 5)])
def test_an_untrained_network_is_the_gaussian_filter(shape):
    counts = rapid_counts(shape)
    restored = FirstNetwork(NETWORK, BLUR, 32)(torch.from_numpy(counts), torch.full((shape[0],), K))
    filtered = np.stack([gaussian_filter(image[0] * K, BLUR, mode="nearest") for image in counts])
    np.testing.assert_allclose(restored.counts[:, 0].detach(), filtered, rtol=1e-4, atol=1e-5)


def test_the_start_preserves_total_counts():
    counts = torch.zeros(1, 1, 80, 80)
    counts[..., 20:60, 20:60] = torch.from_numpy(rapid_counts((1, 1, 40, 40)))
    restored = FirstNetwork(NETWORK, BLUR, 32)(counts, torch.tensor([K])).counts
    assert restored.sum().item() == pytest.approx(K * counts.sum().item(), rel=1e-5)


def test_counts_are_never_negative_whatever_the_weights():
    torch.manual_seed(1)
    network = FirstNetwork(NETWORK, BLUR, 32)
    torch.nn.init.normal_(network.backbone.head.weight, std=3.0)
    restored = network(torch.from_numpy(rapid_counts()), torch.full((2,), K)).counts
    assert restored.min() >= 0
    assert restored.isfinite().all()


def test_blur_keeps_a_constant_image():
    torch.testing.assert_close(gaussian_blur(torch.full((1, 2, 9, 30), 4.0), 2.4), torch.full((1, 2, 9, 30), 4.0))


def test_the_deviance_is_smallest_at_the_mean_even_for_sparse_counts():
    for mean in (0.05, 0.7, 12.0):
        observed = torch.from_numpy(np.random.default_rng(3).poisson(mean, 20000)).double()
        found = minimize_scalar(
            lambda estimate, observed=observed: poisson_deviance(torch.tensor(estimate), observed).mean().item(),
            bounds=(0.0, 5 * mean),
            method="bounded",
            options={"xatol": 1e-7},
        )
        assert found.x == pytest.approx(observed.mean().item(), rel=1e-4)


def test_the_deviance_is_zero_at_equality_and_positive_elsewhere():
    counts = torch.tensor([0.0, 1.0, 7.0])
    torch.testing.assert_close(poisson_deviance(counts, counts), torch.zeros(3))
    assert (poisson_deviance(counts + 1, counts) > 0).all()


def test_the_loss_scales_the_estimate_by_the_targets_share_and_weighs_the_body():
    target = torch.full((2, 1, 4, 4), 3.0)
    body = torch.zeros_like(target)
    body[..., :2] = 1
    fitting = restoration_loss(target * 2, target, torch.full((2,), 0.5), body)
    assert fitting.item() == pytest.approx(0.0, abs=1e-6)
    wrong_outside, wrong_inside = target.clone() * 2, target.clone() * 2
    wrong_outside[..., 2:], wrong_inside[..., :2] = 1.0, 1.0
    share = torch.full((2,), 0.5)
    outside = restoration_loss(wrong_outside, target, share, body)
    assert restoration_loss(wrong_inside, target, share, body).item() == pytest.approx(3 * outside.item(), rel=1e-5)


def test_weight_on_what_is_too_low_moves_the_minimum_to_a_higher_expectile():
    """Of the targets 1 and 5, alike often, the mean is 3; the expectile where 4 (5 - e) balances (e - 1) is 4.2."""
    target = torch.tensor([1.0, 5.0]).view(2, 1, 1, 1)
    share, body = torch.ones(2), torch.ones_like(target)

    def smallest(weight_if_too_low: torch.Tensor | None) -> float:
        found = minimize_scalar(
            lambda e: restoration_loss(torch.full_like(target, e), target, share, body, weight_if_too_low).item(),
            bounds=(1.0, 5.0),
            method="bounded",
            options={"xatol": 1e-6},
        )
        return float(found.x)

    assert smallest(None) == pytest.approx(3.0, abs=1e-3)
    assert smallest(torch.zeros_like(target)) == pytest.approx(3.0, abs=1e-3)
    # the mean over all pixels counts as well, and is not weighed: 1 + 1 + 6 against 1 + 1 is four to one
    assert smallest(6 * body) == pytest.approx(4.2, abs=1e-3)


def test_weight_on_what_is_too_low_is_nothing_where_nothing_is():
    target = torch.full((1, 1, 2, 2), 3.0)
    share, body = torch.ones(1), torch.ones_like(target)
    for estimate in (target, target + 1):
        plain, weighed = (restoration_loss(estimate, target, share, body, extra) for extra in (None, 9 * body))
        assert weighed.item() == plain.item()


def drawn_wrongly(expected: np.ndarray) -> torch.Tensor:
    """An estimate that is right in every detail and too low by a third, less so towards the right."""
    share = np.linspace(0.6, 1.0, expected.shape[-1], dtype=np.float32)
    return torch.from_numpy(expected * share)


def test_an_estimate_keeps_the_counts_that_were_measured_and_its_own_details():
    generator = np.random.default_rng(2)
    expected = np.full((2, 1, 160, 160), 4.0, np.float32)
    expected[..., 70:90, 70:90] = 12.0
    measured = torch.from_numpy(generator.poisson(expected).astype(np.float32))
    estimate = count_true(drawn_wrongly(expected), measured, 12.0)
    totals = estimate.sum((1, 2, 3)), measured.sum((1, 2, 3))
    torch.testing.assert_close(*totals, rtol=0.003, atol=0)
    error, noise = (estimate - torch.from_numpy(expected)).abs().mean(), measured.std()
    assert error < 0.04 * noise, "no pixel's noise came in with the counts"
    assert estimate[..., 80, 80].mean() / estimate[..., 60, 80].mean() == pytest.approx(3.0, rel=0.1)


def test_a_true_estimate_stays_and_an_empty_image_stays_empty():
    image = torch.from_numpy(rapid_counts())
    torch.testing.assert_close(count_true(image, image, 7.0), image)
    assert not count_true(torch.zeros(1, 1, 40, 40), torch.zeros(1, 1, 40, 40), 7.0).any()


def test_a_whole_scan_of_several_accelerations_keeps_its_counts():
    torch.manual_seed(3)
    first = FirstNetwork(NETWORK, BLUR, 32)
    torch.nn.init.normal_(first.backbone.head.weight, std=0.3)
    scans, ratios = torch.from_numpy(rapid_counts((2, 2, 122, 94))), torch.tensor([2.0, 3.0])
    raw, kept = (RestorationNetwork(first, reach)(scans, ratios).detach() for reach in (0.0, 6.0))
    wanted = (scans * ratios.view(2, 1, 1, 1)).sum((2, 3))
    off = [(found.sum((2, 3)) / wanted - 1).abs().max().item() for found in (raw, kept)]
    assert off[0] > 0.01
    assert off[1] < 0.2 * off[0]
