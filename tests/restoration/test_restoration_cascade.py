"""The cascade: where gradients may flow, where masks may reach, and what zero weights mean."""

import inspect

import numpy as np
import pytest
import torch

from scintiflow.params import NetworkParams, TrainCascadeParams
from scintiflow.restoration.cascade import Cascade, DistillationWeights, Examples, FirstNetwork, cascade_losses
from scintiflow.restoration.nafnet import local_mean
from scintiflow.restoration.scm import semantic_consistency, similarity_maps
from scintiflow.restoration.spi import SemanticPriorIntegration

OFF = DistillationWeights(0.0, 0.0, 0.0)


def recipe(**changes) -> TrainCascadeParams:
    values = {
        "first": {"width": 8, "blocks": [1, 1]},
        "second": {"width": 6, "blocks": [1, 1]},
        "second_every": 1,
        "mixed_precision": False,
        "spi": True,
        "skd_output_weight": 0.2,
        "skd_feature_weight": 0.1,
        "scm_weight": 0.1,
        "ramp": 0.3,
        "base_blur_pixels": 1.2,
        "thinned_share": 0.5,
        "seed": 1,
        "steps": 6,
        "patches_per_step": 2,
        "patch_pixels": 32,
        "learning_rate": 0.001,
        "weight_decay": 0.0001,
        "gradient_clip": 1.0,
        "average_decay": 0.9,
        "validate_every": 2,
        "checkpoint_every": 2,
    }
    return TrainCascadeParams.model_validate(values | changes)


def shaken(cascade: Cascade) -> Cascade:
    """A cascade away from its zero-initialised start, where every path carries a gradient."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in cascade.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return cascade


@pytest.fixture
def cascade() -> Cascade:
    return shaken(Cascade(recipe()))


@pytest.fixture
def examples() -> Examples:
    generator = np.random.default_rng(2)
    masks = np.zeros((2, 5, 32, 32), np.float32)
    masks[:, 0, 4:28, 4:28], masks[:, 1, 8:16, 6:26], masks[:, 3, 20:26, 10:20] = 1, 1, 1
    counts = [torch.from_numpy(generator.poisson(mean, (2, 1, 32, 32)).astype(np.float32)) for mean in (3, 6)]
    return Examples(counts[0], torch.tensor([2.0, 2.1]), counts[1], torch.ones(2), torch.from_numpy(masks))


def gradients(module: torch.nn.Module) -> float:
    return sum(float(p.grad.abs().sum()) for p in module.parameters() if p.grad is not None)


def losses_of(cascade, examples, weights):
    first = cascade.first(examples.input, examples.k)
    return cascade_losses(cascade, first, examples, weights)


def test_no_loss_of_the_second_network_reaches_the_first(cascade, examples):
    losses_of(cascade, examples, OFF)["deviance_second"].backward()
    assert gradients(cascade.first) == 0
    assert gradients(cascade.second) > 0


@pytest.mark.parametrize("term", ["skd_output", "skd_feature"])
def test_distillation_moves_the_student_and_never_the_teacher(cascade, examples, term):
    losses_of(cascade, examples, DistillationWeights(1.0, 1.0, 1.0))[term].backward()
    assert gradients(cascade.first) > 0
    assert gradients(cascade.second) == 0


def test_consistency_reaches_both_networks(cascade, examples):
    losses_of(cascade, examples, DistillationWeights(1.0, 1.0, 1.0))["scm"].backward()
    assert gradients(cascade.first) > 0
    assert gradients(cascade.second) > 0


def test_terms_scale_with_their_weights_and_vanish_at_zero(cascade, examples):
    assert set(losses_of(cascade, examples, OFF)) == {"deviance_second"}
    single = losses_of(cascade, examples, DistillationWeights(1.0, 1.0, 1.0))
    half = losses_of(cascade, examples, DistillationWeights(0.5, 0.5, 0.5))
    for term in ("skd_output", "skd_feature", "scm"):
        assert half[term].item() == pytest.approx(single[term].item() / 2, rel=1e-5)


def test_masks_reach_the_second_network_only(cascade, examples):
    assert list(inspect.signature(FirstNetwork.forward).parameters) == ["self", "counts", "k", "opposite", "mixed"]
    first = cascade.first(examples.input, examples.k)
    second = cascade.second(first, examples.masks).counts
    other = cascade.second(first, torch.zeros_like(examples.masks)).counts
    assert (second - other).abs().max() > 1e-3


def test_without_spi_masks_change_nothing(examples):
    cascade = shaken(Cascade(recipe(spi=False)))
    first = cascade.first(examples.input, examples.k)
    with_masks = cascade.second(first, examples.masks).counts
    torch.testing.assert_close(with_masks, cascade.second(first, torch.zeros_like(examples.masks)).counts)


def test_at_the_start_both_networks_agree(examples):
    cascade = Cascade(recipe())
    first = cascade.first(examples.input, examples.k)
    torch.testing.assert_close(first.counts, cascade.second(first, examples.masks).counts)


def test_integration_starts_as_the_identity_and_follows_its_equation():
    torch.manual_seed(0)
    integrate = SemanticPriorIntegration(4)
    features, masks = torch.randn(1, 4, 6, 6), torch.rand(1, 5, 6, 6)
    torch.testing.assert_close(integrate(features, masks), features)
    with torch.no_grad():
        integrate.modulation.bias.copy_(torch.tensor([0.5] * 4 + [2.0] * 4))
    torch.testing.assert_close(integrate(features, masks), features * (1 + np.tanh(0.5)) + 2.0)


def test_similarity_maps_equal_a_plain_computation(examples):
    torch.manual_seed(0)
    features, masks = torch.randn(1, 7, 32, 32), examples.masks[:1]
    found = similarity_maps(features, masks)
    inside = masks[0, 1] > 0
    prototype = features[0][:, inside].mean(1)
    expected = torch.nn.functional.cosine_similarity(features[0], prototype[:, None, None].expand(7, 32, 32), dim=0)
    torch.testing.assert_close(found[0, 1], expected, rtol=1e-4, atol=1e-5)


def test_consistency_ignores_scale_and_absent_structures(examples):
    torch.manual_seed(0)
    features, masks = torch.randn(2, 7, 32, 32), examples.masks
    assert semantic_consistency(features, 3 * features, masks, masks[:, :1]).item() == pytest.approx(0, abs=1e-9)
    assert semantic_consistency(features, -features.flip(2), torch.zeros_like(masks), masks[:, :1]).item() == 0


def test_the_first_networks_start_does_not_depend_on_the_second():
    wide = Cascade(recipe(second=NetworkParams(width=12, blocks=[2]).model_dump()))
    for left, right in zip(Cascade(recipe()).first.parameters(), wide.first.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0)


def test_local_means_equal_scipys_inside_and_the_mean_on_a_patch():
    from scipy.ndimage import uniform_filter

    image = torch.from_numpy(np.random.default_rng(0).random((1, 1, 40, 30))).float()
    found = local_mean(image, 9)[0, 0]
    expected = uniform_filter(image[0, 0].numpy(), 9)
    np.testing.assert_allclose(found[4:-4, 4:-4], expected[4:-4, 4:-4], rtol=1e-5)
    torch.testing.assert_close(local_mean(image, 40), image.mean((2, 3), keepdim=True))
