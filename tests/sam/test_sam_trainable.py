"""LoRA and adapters: nothing changes before they learn, only they learn, and what was learned comes back."""

import pytest
import torch
from crude_child import Clinic, small_architecture
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam

from scintiflow.dataset.manifest import Dataset
from scintiflow.sam.adaptation import adapt
from scintiflow.sam.adapter import ADAPTER, load_adapted_sam
from scintiflow.sam.build import build_sam
from scintiflow.sam.lora import LowRankProjection, merge_lora
from scintiflow.sam.prediction import mask_logits
from scintiflow.sam.trainable import Trainable
from scintiflow.tracking import SilentTracker

SIZE = 64


def _choice(kind: str, decoder_too: bool = False, **changes) -> Trainable:
    return Trainable(
        **({"kind": kind, "decoder_too": decoder_too, "lora_rank": 4, "adapter_width": 8, "seed": 3} | changes)
    )


def _embedding(sam: Sam) -> torch.Tensor:
    image = 255 * torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return sam.image_encoder(sam.preprocess(image))


@torch.no_grad()
def _answer(sam: Sam) -> torch.Tensor:
    boxes = torch.tensor([[4.0, 4.0, 40.0, 60.0]]).repeat(8, 1)
    return mask_logits(sam, _embedding(sam), boxes, torch.full((2, 7, 2), 20.0), True)


def _small() -> Sam:
    return build_sam(small_architecture(SIZE), 1)[0]


def _stir(sam: Sam, choice: Trainable) -> None:
    """Give everything that learns some value of its own."""
    generator = torch.Generator().manual_seed(5)
    for parameter in choice.freeze_the_rest(sam):
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("kind", ["decoder", "lora", "adapter", "all"])
def test_the_extended_network_first_answers_exactly_as_the_plain_one(kind):
    state = torch.random.get_rng_state()
    extended = _choice(kind).extend(_small())
    assert torch.equal(_answer(extended), _answer(_small()))
    assert torch.equal(state, torch.random.get_rng_state()), "the global generator was touched"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("lora", 147_456), ("adapter", 12 * (2 * 768 * 8 + 8 + 768)), ("decoder", 4_058_340)],
)
def test_number_of_parameters_that_learn_in_vit_b(kind, expected):
    """Low rank 4: twelve blocks, query and value, 4 x 768 down and up each."""
    with torch.device("meta"):
        sam = sam_model_registry["vit_b"](checkpoint=None)
        choice = _choice(kind)
        choice.extend(sam)
    assert sum(parameter.numel() for parameter in choice.freeze_the_rest(sam)) == expected


@pytest.mark.parametrize("kind", ["lora", "adapter"])
def test_both_halves_learn_and_the_pretrained_weights_do_not(kind):
    choice = _choice(kind)
    sam = choice.extend(_small())
    learning = choice.freeze_the_rest(sam)
    _stir(sam, choice)
    _embedding(sam).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in learning)
    pretrained = dict(_small().named_parameters())
    for name, parameter in sam.named_parameters():
        if name in pretrained:
            assert parameter.grad is None
            assert torch.equal(parameter, pretrained[name])
    assert len(learning) == len(list(sam.parameters())) - len(pretrained)
    assert not torch.equal(_answer(sam), _answer(_small()))


def test_low_rank_change_is_what_its_equation_says_and_can_be_merged():
    choice = _choice("lora")
    sam = choice.extend(_small())
    _stir(sam, choice)
    layer = sam.image_encoder.blocks[1].attn.qkv
    tokens = torch.randn(2, 5, layer.in_features, generator=torch.Generator().manual_seed(1))
    query, key, value = layer.weight.chunk(3)
    changed = [query + layer.query_up @ layer.query_down, key, value + layer.value_up @ layer.value_down]
    expected = tokens @ torch.cat(changed).T + layer.bias
    assert torch.allclose(layer(tokens), expected, atol=1e-5)
    before = _answer(sam)
    merge_lora(sam)
    assert not any(isinstance(module, LowRankProjection) for module in sam.modules())
    assert set(sam.state_dict()) == set(_small().state_dict())
    assert torch.allclose(_answer(sam), before, atol=1e-3)


@pytest.mark.parametrize(("kind", "decoder_too"), [("lora", False), ("lora", True), ("adapter", False)])
def test_only_what_learned_is_saved_and_loading_gives_the_same_answers(
    clinic: Clinic, sam_params, tmp_path, kind, decoder_too
):
    params = sam_params(steps=2, trainable=kind, decoder_too=decoder_too, learning_rate=0.01)
    report = adapt(Dataset.open(clinic.dataset), params, tmp_path / "sam", SilentTracker())
    saved = torch.load(tmp_path / "sam" / ADAPTER, weights_only=True)
    in_decoder = {name for name in saved if name.startswith("mask_decoder.")}
    assert bool(in_decoder) == decoder_too
    assert not set(saved) - in_decoder & set(_small().state_dict())
    assert report["parameters_trained"] == sum(value.numel() for value in saved.values())
    base = Trainable.from_params(params).extend(build_sam(params.architecture, params.seed)[0])
    learned = base.state_dict() | saved
    base.load_state_dict(learned)
    loaded, _ = load_adapted_sam(tmp_path / "sam")
    again, _ = load_adapted_sam(tmp_path / "sam")
    assert torch.equal(_answer(loaded), _answer(base))
    assert torch.equal(_answer(loaded), _answer(again))
    assert not torch.equal(_answer(loaded), _answer(build_sam(params.architecture, params.seed)[0]))
