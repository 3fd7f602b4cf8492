"""Adaptation: it learns, from training patients alone, only what it may, and survives being killed."""

import hashlib
import shutil

import numpy as np
import pytest
import torch
from crude_child import Clinic

from scintiflow.dataset.manifest import Dataset
from scintiflow.dataset.study import Pair, save_pair
from scintiflow.errors import ScintiflowError
from scintiflow.files import read_json
from scintiflow.phantom.truth import find_truth
from scintiflow.sam import examples
from scintiflow.sam.adaptation import adapt
from scintiflow.sam.adapter import ADAPTER, DESCRIPTION, load_adapted_sam
from scintiflow.sam.build import build_sam
from scintiflow.sam.overlap import dice, iou, mask_loss
from scintiflow.sam.pseudo_masks import pseudo_masks
from scintiflow.sam.samples import load_samples
from scintiflow.sam.training import _asked
from scintiflow.structures import STRUCTURES
from scintiflow.tracking import SilentTracker


class _Killer(SilentTracker):
    """Stops the run after the checkpoint of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def metrics(self, values, step=None):
        if step == self.step:
            raise KeyboardInterrupt


def _weights(folder) -> str:
    return hashlib.sha256((folder / ADAPTER).read_bytes()).hexdigest()


def _adapt(clinic: Clinic, params, folder, tracker=None):
    return adapt(Dataset.open(clinic.dataset), params, folder, tracker or SilentTracker(), clinic.truth)


@pytest.fixture(scope="module")
def adapted(clinic, sam_params, tmp_path_factory):
    """The result of an uninterrupted short run."""
    folder = tmp_path_factory.mktemp("adapted") / "sam"
    _adapt(clinic, sam_params(), folder)
    return folder


def test_loss_falls_and_held_out_dice_rises(clinic, sam_params, tmp_path):
    params = sam_params(64, steps=36, validate_every=36, learning_rate=0.005, focal_weight=1.0)
    report = _adapt(clinic, params, tmp_path / "sam")
    assert report["loss_last"] < 0.8 * report["loss_first"]
    assert report["dice_after_truth_body"] > 0.6
    assert report["dice_after_truth_body"] > report["dice_before_truth_body"] + 0.1
    assert report["dice_pseudo_truth_body"] > 0.9
    assert report["patients_held_out"] == 2
    for score in ("dice", "iou"):  # one validation and one test patient, apart and together
        apart = [report[f"{split}_{score}_after_truth_body"] for split in ("validation", "test")]
        assert np.mean(apart) == pytest.approx(report[f"{score}_after_truth_body"])
    dice_body = report["test_dice_after_truth_body"]
    assert report["test_iou_after_truth_body"] == pytest.approx(dice_body / (2 - dice_body), abs=1e-6)
    assert (tmp_path / "sam" / "overlays.png").stat().st_size > 10_000
    assert not (tmp_path / "sam.unfinished").exists()


def test_a_killed_run_ends_with_the_weights_of_an_uninterrupted_one(clinic, adapted, sam_params, tmp_path):
    params = sam_params()
    with pytest.raises(KeyboardInterrupt):
        _adapt(clinic, params, tmp_path / "killed", _Killer(step=2))
    assert not (tmp_path / "killed").exists(), "nothing half-written"
    report = _adapt(clinic, params, tmp_path / "killed")
    assert _weights(tmp_path / "killed") == _weights(adapted)
    assert report == read_json(adapted / DESCRIPTION)["report"]


def test_a_checkpoint_of_other_parameters_is_not_used(clinic, adapted, sam_params, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _adapt(clinic, sam_params(learning_rate=0.01), tmp_path / "sam", _Killer(step=2))
    _adapt(clinic, sam_params(), tmp_path / "sam")
    assert _weights(tmp_path / "sam") == _weights(adapted)


def test_decoder_only_leaves_everything_else_as_it_was(clinic, sam_params, tmp_path):
    params = sam_params(trainable="decoder")
    _adapt(clinic, params, tmp_path / "sam")
    saved = torch.load(tmp_path / "sam" / ADAPTER, weights_only=True)
    assert all(name.startswith("mask_decoder.") for name in saved)
    base, _ = build_sam(params.architecture, params.seed)
    adapted, _ = load_adapted_sam(tmp_path / "sam")
    before, after = base.state_dict(), adapted.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("mask_decoder.") for name in changed)


def test_embeddings_of_a_frozen_encoder_are_kept_on_disk_and_outlive_a_killed_run(
    clinic, sam_params, tmp_path, monkeypatch
):
    params = sam_params(trainable="decoder", cached_variations=2)
    _adapt(clinic, params, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        _adapt(clinic, params, tmp_path / "killed", _Killer(step=2))
    kept = list((tmp_path / "killed.unfinished").glob("embeddings-*/*.npz"))
    assert len(kept) == 3 * (1 + 2), "three scans, each as it is and in two variations"
    with np.load(kept[0]) as packed:
        assert packed["embedding"].dtype == np.float16
        assert packed["target"].dtype == np.uint8
    kept[0].write_bytes(b"cut short")
    encoded = []
    original = examples._encode
    monkeypatch.setattr(examples, "_encode", lambda *given: encoded.append(1) or original(*given))
    _adapt(clinic, params, tmp_path / "killed")
    assert len(encoded) == 1, "only what was damaged is computed again"
    assert _weights(tmp_path / "killed") == _weights(tmp_path / "whole")
    assert not (tmp_path / "killed.unfinished").exists()


def test_only_simulated_children_teach_with_exact_masks(clinic, tmp_path):
    """One child's truth is taken away: it counts as a real one."""
    dataset = Dataset.open(clinic.dataset)
    real = next(dataset.rows("train"))["standard_counts_sha256"]
    shutil.copytree(clinic.truth, tmp_path / "truth")
    (tmp_path / "truth" / "crude" / f"{real}.npz").unlink()
    for sample in load_samples(dataset, ["train"], tmp_path / "truth", exact_targets=True):
        if sample.counts_sha256 == real:
            assert sample.exact is None
            np.testing.assert_array_equal(sample.targets, pseudo_masks(sample.counts, sample.spacing_mm))
        else:
            exact = find_truth(clinic.truth, sample.counts_sha256).masks_standard
            np.testing.assert_array_equal(sample.targets, exact)
    unused = load_samples(dataset, ["train"], tmp_path / "truth", exact_targets=False)
    assert all(sample.targets is sample.masks for sample in unused)


def test_a_mirrored_sample_is_mirrored_in_all_its_parts(clinic):
    sample = load_samples(Dataset.open(clinic.dataset), ["train"], clinic.truth, exact_targets=True)[0]
    turned = sample.mirrored()
    for name in ("counts", "masks", "exact", "targets"):
        np.testing.assert_array_equal(getattr(turned, name), getattr(sample, name)[..., ::-1])
    assert turned.prompts.body_boxes != sample.prompts.body_boxes
    np.testing.assert_allclose(turned.mirrored().prompts.boxes, sample.prompts.boxes)


def test_a_step_asks_for_as_many_structures_as_it_may_and_for_each_in_time():
    asked = [_asked(2, np.random.default_rng(step)) for step in range(400)]
    assert all(len(set(one)) == 2 and one == sorted(one) for one in asked)
    times = np.bincount(np.concatenate(asked), minlength=len(STRUCTURES)) / len(asked)
    body, others = times[0], times[1:]
    assert body > 0.1
    assert others.min() > body
    assert _asked(5, np.random.default_rng(0)) == [0, 1, 2, 3, 4]


def test_validation_and_test_patients_do_not_touch_the_weights(new_clinic, sam_params, tmp_path):
    """Other held-out children, equal training children: equal weights (validated once, so no choice is made)."""
    params = sam_params(steps=2, validate_every=2)
    splits = {"a": "train", "b": "train", "c": "validation", "d": "test"}
    one = new_clinic(tmp_path / "one", splits)
    other = new_clinic(tmp_path / "other", splits)
    spoiled = Dataset.open(other.dataset)
    for split in ("validation", "test"):
        for row in spoiled.rows(split):
            pair = spoiled.pair(row["study"])
            save_pair(
                other.dataset / "studies" / f"{row['study']}.npz", Pair(pair.rapid, pair.standard[:, ::-1].copy())
            )
    first, second = (_adapt(c, params, tmp_path / n) for c, n in ((one, "first"), (other, "second")))
    assert first["dice_after_pseudo_body"] != second["dice_after_pseudo_body"]
    assert _weights(tmp_path / "first") == _weights(tmp_path / "second")


def test_a_patient_in_two_splits_is_refused(clinic, sam_params, tmp_path):
    dataset = Dataset.open(clinic.dataset)
    table = dataset.table.assign(patient="a")
    with pytest.raises(ScintiflowError, match="both in training and held out"):
        adapt(Dataset(dataset.folder, table), sam_params(), tmp_path / "sam", SilentTracker())


def test_a_changed_adapter_is_refused(adapted, tmp_path):
    shutil.copytree(adapted, tmp_path / "sam")
    with (tmp_path / "sam" / ADAPTER).open("ab") as adapter:
        adapter.write(b"\0")
    with pytest.raises(ScintiflowError, match="does not match"):
        load_adapted_sam(tmp_path / "sam")


def test_dice_against_its_definition():
    generator = np.random.default_rng(0)
    first, second = generator.random((2, 3, 2, 9, 7)) > 0.6
    first[2] = second[2] = False
    expected = [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in zip(first[:2], second[:2], strict=True)]
    scores = dice(first, second)
    np.testing.assert_allclose(scores[:2], expected, rtol=1e-6)
    assert np.isnan(scores[2])


def test_iou_against_its_definition():
    generator = np.random.default_rng(0)
    first, second = generator.random((2, 3, 2, 9, 7)) > 0.6
    first[2] = second[2] = False
    expected = [(a & b).sum() / (a | b).sum() for a, b in zip(first[:2], second[:2], strict=True)]
    np.testing.assert_allclose(iou(first, second)[:2], expected)
    assert np.isnan(iou(first, second)[2])


def test_both_terms_of_the_loss_weigh_a_small_structure_as_a_large_one():
    """Why focal_weight is about 1: the focal term does not shrink with the structure, as a plain mean would."""
    losses = []
    for side in (2, 20):
        target = torch.zeros(1, 64, 64)
        target[0, :side, :side] = 1
        unsure = torch.zeros_like(target)
        losses.append(float(mask_loss(unsure, target, 1.0)) - float(mask_loss(unsure, target, 1e-9)))
    assert losses[0] == pytest.approx(losses[1], rel=0.15)


def test_the_loss_prefers_right_over_nothing_over_wrong():
    target = torch.zeros(1, 32, 32)
    target[0, 4:10, 4:10] = 1
    right = 8 * (2 * target - 1)
    nothing, wrong = torch.full_like(target, -8.0), right.flip(-1)
    losses = [float(mask_loss(logits, target, 20.0)) for logits in (right, nothing, wrong)]
    assert losses == sorted(losses)
    empty = torch.zeros_like(target)
    assert float(mask_loss(nothing, empty, 20.0)) < float(mask_loss(right, empty, 20.0))
