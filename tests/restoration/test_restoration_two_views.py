"""Networks of two views: mirrored alike, content with one view, and blind to the opposite if they have one view."""

import numpy as np
import pytest
import torch

from scintiflow.dataset.opposite import opposite_views
from scintiflow.params import NetworkParams
from scintiflow.restoration.cascade import FirstNetwork
from scintiflow.restoration.restorer import RestorationNetwork


def network(views: int, name: str = "nafnet") -> RestorationNetwork:
    torch.manual_seed(0)
    first = FirstNetwork(NetworkParams(width=8, blocks=[1, 1], backbone=name), 1.2, 64, views)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return RestorationNetwork(first).eval()


def scan(shape=(2, 61, 47), seed=0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    mean = np.full(shape, 0.2)
    mean[:, 10:50, 12:36] = 4.0
    return generator.poisson(mean).astype(np.float32)


@torch.no_grad()
def restored(net: RestorationNetwork, counts: np.ndarray) -> np.ndarray:
    return net(torch.from_numpy(counts)[None], 2.0)[0].numpy()


@pytest.mark.parametrize("name", ["nafnet", "unet", "restormer"])
@pytest.mark.parametrize("shape", [(2, 61, 47), (1, 33, 50), (3, 40, 40)])
def test_any_number_of_views_and_any_shape(name, shape):
    found = restored(network(2, name), scan(shape))
    assert found.shape == shape
    assert np.isfinite(found).all()


def test_the_other_view_matters_only_to_a_network_of_two_views():
    counts = scan()
    other = counts.copy()
    other[1, 20:30, 15:25] = 30.0
    mirrored = [np.abs(restored(network(views), counts)[0] - restored(network(views), other)[0]) for views in (1, 2)]
    assert mirrored[0].max() == 0
    assert mirrored[1].max() > 1e-3
    changed_columns = np.flatnonzero(mirrored[1].max(0) > 0.2 * mirrored[1].max())
    mirror = counts.shape[2] - 1
    assert abs(changed_columns.mean() - (mirror - 19.5)) < 4  # where the mirrored change lies


def test_swapping_the_views_swaps_the_results():
    net, counts = network(2), scan()
    np.testing.assert_allclose(restored(net, counts[::-1].copy()), restored(net, counts)[::-1], rtol=1e-5, atol=1e-5)


def test_a_missing_view_is_zeros_and_a_flag():
    net, counts = network(2), scan()
    alone = restored(net, counts[:1])
    nothing = torch.zeros(1, 2, *counts.shape[1:])
    with torch.no_grad():
        given = net.first(torch.from_numpy(counts[:1])[None], torch.tensor([2.0]), nothing).counts[0].numpy()
    np.testing.assert_array_equal(alone, given)
    empty_but_measured = nothing.clone()
    empty_but_measured[:, 1] = 1
    with torch.no_grad():
        measured = net.first(torch.from_numpy(counts[:1])[None], torch.tensor([2.0]), empty_but_measured).counts[0]
    assert np.abs(measured.numpy() - alone).max() > 1e-4


def test_what_was_not_measured_cannot_be_seen():
    """Counts under a flag of zero reach nothing, whatever they are."""
    net, counts = network(2), torch.from_numpy(scan()[:1])[None]
    opposite = torch.from_numpy(opposite_views(scan())[:1].astype(np.float32))
    opposite[:, 1, :, 20:] = 0
    rubbish = opposite.clone()
    rubbish[:, 0, :, 34:] = 99.0  # beyond the reach of the blur into what was measured
    with torch.no_grad():
        first, second = (net.first(counts, torch.tensor([2.0]), given).channels for given in (opposite, rubbish))
    torch.testing.assert_close(first[..., 20:], second[..., 20:])
