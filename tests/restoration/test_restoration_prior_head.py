"""The prior head: absent at weight zero, learns the masks from the rapid scan, costs nothing when restoring."""

import math

import numpy as np
import pytest
import torch

from scintiflow.params import NetworkParams, TrainCascadeParams, load_params
from scintiflow.restoration.cascade import Cascade, Examples, FirstNetwork, prior_head_losses
from scintiflow.restoration.prior_head import PriorHead, prior_loss
from scintiflow.restoration.restorer import RestorationNetwork, load_network, save_cascade


@pytest.fixture(scope="module")
def recipe(request) -> TrainCascadeParams:
    params = load_params(request.config.rootpath / "params.yaml").train_cascade
    small = NetworkParams(width=8, blocks=[1, 1])
    return params.model_copy(update={"first": small, "second": small, "patch_pixels": 32})


def with_head(recipe: TrainCascadeParams, weight: float = 1.0) -> TrainCascadeParams:
    return recipe.model_copy(update={"prior_head_weight": weight})


def test_without_a_weight_there_is_no_head_and_with_one_the_rest_starts_alike(recipe):
    plain, headed = Cascade(recipe), Cascade(with_head(recipe))
    assert plain.first.prior_head is None
    assert {name for name in headed.state_dict() if name not in plain.state_dict()} == {
        f"first.{name}" for name in headed.first.state_dict() if name.startswith("prior_head.")
    }
    for name, value in plain.state_dict().items():
        assert torch.equal(value, headed.state_dict()[name]), name


def examples() -> Examples:
    generator = np.random.default_rng(2)
    rows, columns = np.mgrid[:40, :36]
    masks = np.zeros((2, 5, 40, 36), np.float32)
    masks[:, 0] = ((rows - 20) / 17) ** 2 + ((columns - 18) / 13) ** 2 < 1
    masks[:, 1] = (abs(columns - 18) < 3) * masks[:, 0]
    mean = 0.1 + 2 * masks[:, :1] + 9 * masks[:, 1:2]
    counts = [torch.from_numpy(generator.poisson(mean).astype(np.float32)) for _ in range(2)]
    return Examples(counts[0], torch.full((2,), 2.0), counts[1], torch.ones(2), torch.from_numpy(masks))


def test_the_head_learns_the_masks_and_shapes_the_features(recipe):
    cascade, batch = Cascade(with_head(recipe)), examples()
    optimiser, losses = torch.optim.AdamW(cascade.first.parameters(), lr=1e-2), []
    for _ in range(150):
        first = cascade.first(batch.input, batch.k)
        loss = prior_head_losses(cascade, first, batch, 1.0)["prior_head"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert cascade.first.backbone.stem.weight.grad.abs().sum() > 0
    assert losses[-1] < 0.4 * losses[0]
    masks = RestorationNetwork(cascade.first).masks(batch.input[:, 0][None], 2.0)
    assert masks.shape == (1, 5, 2, 40, 36)
    found, true = masks[0, 1] > 0.5, batch.masks[:, 1] > 0.5
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.9


def test_the_loss_is_cross_entropy_plus_dice():
    logits, masks = torch.zeros(1, 5, 4, 4), torch.zeros(1, 5, 4, 4)
    masks[:, 0] = 1
    whole, absent = 1 - (2 * 8 + 1) / (8 + 16 + 1), 1 - 1 / (8 + 1)
    assert prior_loss(logits, masks).item() == pytest.approx(math.log(2) + (whole + 4 * absent) / 5, rel=1e-5)
    certain = torch.where(masks > 0, 30.0, -30.0)
    assert prior_loss(certain, masks).item() == pytest.approx(0, abs=1e-4)


def test_the_weight_scales_the_term_and_zero_removes_it(recipe):
    cascade, batch = Cascade(with_head(recipe)), examples()
    first = cascade.first(batch.input, batch.k)
    single, half = (prior_head_losses(cascade, first, batch, weight)["prior_head"] for weight in (1.0, 0.5))
    assert half.item() == pytest.approx(single.item() / 2)
    assert prior_head_losses(cascade, first, batch, 0.0) == {}


@pytest.mark.parametrize("shape", [(1, 7, 90), (2, 37, 51)])
def test_masks_have_the_scans_shape(shape):
    head = FirstNetwork(NetworkParams(width=8, blocks=[1, 1]), 1.2, 32, prior_head=True)
    masks = RestorationNetwork(head).masks(torch.ones(2, *shape), torch.tensor([2.0, 1.8]))
    assert masks.shape == (2, 5, *shape)
    assert masks.min() >= 0
    assert masks.max() <= 1


def test_views_and_structures_are_not_mixed_up():
    network = RestorationNetwork(FirstNetwork(NetworkParams(width=8, blocks=[1]), 1.2, 32, prior_head=True))
    scan = torch.from_numpy(np.random.default_rng(0).poisson(3.0, (1, 2, 20, 14)).astype(np.float32))
    both = network.masks(scan, 2.0)
    single = network.masks(scan[:, 1:], 2.0)
    torch.testing.assert_close(both[:, :, 1:], single)


def test_the_head_survives_saving_and_restoring_does_not_need_it(recipe, tmp_path):
    params = with_head(recipe).model_copy(update={"views": 2})
    cascade = Cascade(params)
    save_cascade(tmp_path, cascade, params, "0")
    network, scan = load_network(tmp_path), torch.ones(1, 2, 24, 20)
    torch.testing.assert_close(network.masks(scan, 2.0), RestorationNetwork(cascade.first).masks(scan, 2.0))
    called = []
    network.first.prior_head.register_forward_hook(lambda *_: called.append(1))
    network(scan, 2.0)
    assert called == []


def test_without_a_head_masks_are_refused():
    network = RestorationNetwork(FirstNetwork(NetworkParams(width=8, blocks=[1]), 1.2, 32))
    with pytest.raises(ValueError, match="without a prior head"):
        network.masks(torch.ones(1, 1, 20, 20), 2.0)
    assert isinstance(PriorHead(8)(torch.ones(1, 8, 5, 5), 9, 10), torch.Tensor)
