"""Every backbone: any size in, half the size of features, a residual of zero at the start, nothing global."""

import hashlib

import numpy as np
import pytest
import torch

from scintiflow.params import NetworkParams
from scintiflow.restoration.families import FAMILIES, build_backbone

NAMES = sorted(FAMILIES)


def backbone(name: str, channels: int = 3, outputs: int = 1, blocks=(1, 1, 1)):
    torch.manual_seed(0)
    return build_backbone(channels, NetworkParams(width=8, blocks=list(blocks), backbone=name), 32, outputs)


def shaken(module: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return module


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 3, 37, 51), (2, 3, 16, 16), (1, 3, 7, 90)])
def test_a_backbone_takes_any_size_and_starts_at_zero(name, shape):
    residual, features = backbone(name)(torch.randn(shape))
    assert residual.shape == (shape[0], 1, *shape[2:])
    assert features.shape[:2] == (shape[0], 8)
    assert features.shape[2] >= shape[2] / 2
    assert (residual == 0).all()
    assert features.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_grey_or_colour_and_any_depth(name):
    for channels, outputs, blocks in ((1, 1, (1,)), (3, 3, (2, 1))):
        network = shaken(backbone(name, channels, outputs, blocks))
        residual, _ = network(torch.randn(2, channels, 20, 14))
        assert residual.shape == (2, outputs, 20, 14)
        assert residual.abs().max() > 0


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter(name):
    network = shaken(backbone(name))
    residual, _ = network(torch.randn(1, 3, 32, 32))
    residual.square().sum().backward()
    assert [label for label, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()] == []


@pytest.mark.parametrize("name", NAMES)
def test_images_of_a_batch_do_not_mix(name):
    network, images = shaken(backbone(name)), torch.randn(3, 3, 32, 24)
    together, alone = network(images)[0], torch.cat([network(image[None])[0] for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_empty_surroundings_far_away_change_nothing(name):
    """A patch restored alone and at the top of a long, empty scan: equal far from the cut."""
    network = shaken(backbone(name, blocks=(1, 1)))
    patch = torch.randn(1, 3, 32, 32)
    scan = torch.cat([patch, torch.zeros(1, 3, 160, 32)], 2)
    difference = (network(patch)[0] - network(scan)[0][:, :, :32]).abs()[:, :, :8].max()
    assert difference < 0.35 * network(patch)[0].std()


@pytest.mark.parametrize("name", NAMES)
def test_a_backbone_learns(name):
    torch.manual_seed(0)
    network = backbone(name, 1)
    clean = torch.from_numpy(np.kron(np.random.default_rng(1).normal(size=(4, 1, 8, 8)), np.ones((4, 4)))).float()
    noisy = clean + 0.5 * torch.randn(clean.shape)
    optimiser, errors = torch.optim.AdamW(network.parameters(), lr=3e-3), []
    for _ in range(40):
        error = (noisy + network(noisy)[0] - clean).square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    assert errors[-1] < 0.6 * errors[0]


def test_the_default_backbone_starts_from_the_weights_it_always_had():
    """Guards the order in which weights are drawn and named: trained models must stay reproducible and loadable."""
    digest = hashlib.sha256()
    for name, value in backbone("nafnet").state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    assert digest.hexdigest() == "7a8f31356d01ac1de2f14207154ed4e73bfe89e16f8541d0b3fad9870f51fb78"
