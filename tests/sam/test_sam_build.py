"""Building SAM: the checkpoint's hash, its fit, its canvas, and the small network."""

import hashlib
from functools import partial
from pathlib import Path

import pytest
import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn

from scintiflow.errors import ScintiflowError
from scintiflow.params import SamArchitecture
from scintiflow.sam import build
from scintiflow.sam.build import build_sam, mask_side


def _narrow_sam(checkpoint=None) -> Sam:
    """The shape of the package's builders (patch 16, relative positions, canvas of 1024) with little inside."""
    assert checkpoint is None
    return Sam(
        ImageEncoderViT(
            img_size=1024,
            depth=1,
            embed_dim=16,
            num_heads=2,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=14,
            out_chans=16,
        ),
        PromptEncoder(16, (64, 64), (1024, 1024), 4),
        MaskDecoder(transformer_dim=16, transformer=TwoWayTransformer(1, 16, 2, 32), iou_head_hidden_dim=16),
    )


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str, Sam]:
    monkeypatch.setitem(build.sam_model_registry, "vit_b", _narrow_sam)
    sam = _narrow_sam()
    path = tmp_path / "sam_vit_b.pth"
    torch.save(sam.state_dict(), path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest(), sam


def _vit_b(path: Path, sha256: str, image_size: int = 1024) -> SamArchitecture:
    return SamArchitecture(size="vit_b", image_size=image_size, checkpoint=str(path), checkpoint_sha256=sha256)


def test_a_checkpoint_with_its_hash_is_loaded(checkpoint):
    path, sha256, original = checkpoint
    sam, provenance = build_sam(_vit_b(path, sha256))
    loaded = sam.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in original.state_dict().items())
    assert provenance.checkpoint_sha256 == sha256
    assert sha256 in provenance.text


def test_another_hash_is_refused_with_both_hashes_and_the_way_to_mend_it(checkpoint):
    path, sha256, _ = checkpoint
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ScintiflowError) as caught:
        build_sam(_vit_b(path, sha256))
    message = str(caught.value)
    assert sha256 in message
    assert hashlib.sha256(path.read_bytes()).hexdigest() in message
    assert str(path) in message
    assert "segment-anything" in message


def test_a_missing_checkpoint_says_where_to_get_it(tmp_path):
    with pytest.raises(ScintiflowError, match=r"not there.*air-gapped"):
        build_sam(_vit_b(tmp_path / "none.pth", "0" * 64))


def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setitem(build.sam_model_registry, "vit_b", _narrow_sam)
    path = tmp_path / "evil.pth"
    torch.save({"weights": _Trap(tmp_path / "trapped")}, path)
    with pytest.raises(ScintiflowError, match="not a checkpoint of vit_b"):
        build_sam(_vit_b(path, hashlib.sha256(path.read_bytes()).hexdigest()))
    assert not (tmp_path / "trapped").exists()


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_another_canvas_keeps_the_weights_and_changes_the_answers_size(checkpoint):
    path, sha256, _ = checkpoint
    sam, _ = build_sam(_vit_b(path, sha256, image_size=256))
    with torch.no_grad():
        embedding = sam.image_encoder(torch.zeros(1, 3, 256, 256))
    assert embedding.shape[-2:] == (16, 16)
    assert mask_side(sam) == 64
    with pytest.raises(ScintiflowError, match="multiple of 16"):
        build_sam(_vit_b(path, sha256, image_size=250))


def test_the_small_network_is_seeded_and_says_that_it_knows_nothing():
    architecture = SamArchitecture(size="small", image_size=64, checkpoint="", checkpoint_sha256="")
    state = torch.random.get_rng_state()
    (first, provenance), (again, _), (other, _) = (build_sam(architecture, seed) for seed in (1, 1, 2))
    assert torch.equal(state, torch.random.get_rng_state()), "the global generator was touched"
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert not torch.equal(first.image_encoder.pos_embed, other.image_encoder.pos_embed)
    assert "no pretrained weights" in provenance.text
    assert "trained from scratch on this data set" in provenance.text


@pytest.mark.slow
def test_the_real_vit_b_of_the_package_goes_the_same_way(tmp_path):
    original = build.sam_model_registry["vit_b"](checkpoint=None)
    path = tmp_path / "sam_vit_b.pth"
    torch.save(original.state_dict(), path)
    with path.open("rb") as source:
        sha256 = hashlib.file_digest(source, "sha256").hexdigest()
    sam, _ = build_sam(_vit_b(path, sha256))
    assert sum(p.numel() for p in sam.image_encoder.parameters()) == pytest.approx(89.7e6, rel=0.01)
    assert torch.equal(sam.mask_decoder.iou_token.weight, original.mask_decoder.iou_token.weight)
