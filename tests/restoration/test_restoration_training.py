"""Training: zero weights are the baseline bit for bit, interruption changes nothing, the gate holds."""

import csv

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from scintiflow.counts import counts_sha256
from scintiflow.dataset.manifest import COLUMNS, STUDIES, save_manifest
from scintiflow.dataset.patches import PatchSampler, Study
from scintiflow.dataset.priors import Prior, save_prior
from scintiflow.dataset.study import Pair, save_pair
from scintiflow.errors import ScintiflowError
from scintiflow.files import read_json
from scintiflow.params import TrainCascadeParams, changed
from scintiflow.restoration import timekeeper
from scintiflow.restoration.batches import SteppedBatches, batch_loader, to_tensors
from scintiflow.restoration.cascade import Cascade, Examples, first_loss
from scintiflow.restoration.model_folder import checkpoint_sha256
from scintiflow.restoration.module import CascadeTraining, learning_rate
from scintiflow.restoration.restorer import load_network, load_restorer, starting_weights
from scintiflow.restoration.training import train
from scintiflow.restoration.validation import corrected_error, thinned_views
from scintiflow.stages import train_cascade
from scintiflow.tracking import SilentTracker


def recipe(**changes) -> TrainCascadeParams:
    values = {
        "first": {"width": 8, "blocks": [1, 1]},
        "second": {"width": 6, "blocks": [1]},
        "second_every": 1,
        "mixed_precision": False,
        "spi": True,
        "skd_output_weight": 0.5,
        "skd_feature_weight": 0.5,
        "scm_weight": 0.5,
        "ramp": 0.3,
        "base_blur_pixels": 1.2,
        "thinned_share": 0.5,
        "seed": 1,
        "steps": 6,
        "patches_per_step": 2,
        "patch_pixels": 32,
        "learning_rate": 0.003,
        "weight_decay": 0.0001,
        "gradient_clip": 1.0,
        "average_decay": 0.9,
        "validate_every": 2,
        "checkpoint_every": 2,
    }
    return TrainCascadeParams.model_validate(values | changes)


def child(seed: int) -> tuple[Study, np.ndarray]:
    """A child of a few bright bars and discs; returns the study and its true standard counts."""
    generator = np.random.default_rng([9, seed])
    rows, columns = np.mgrid[:96, :64]
    truth = np.full((2, 96, 64), 0.05)
    body = ((rows - 48) / 44) ** 2 + ((columns - 32) / 24) ** 2 < 1
    for view in range(2):
        truth[view][body] = 2.0
        for _ in range(12):
            row, column, radius = generator.uniform(12, 84), generator.uniform(14, 50), generator.uniform(0.9, 2.0)
            truth[view] += 14.0 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * radius**2)) * body
    k = 2.06
    rapid, standard = generator.poisson(truth / k).astype(np.uint16), generator.poisson(truth).astype(np.uint16)
    masks = np.zeros((5, 2, 96, 64), np.uint8)
    masks[0], masks[1] = body * 255, (truth > 5) * 255
    return Study(rapid, standard, masks, k, ((0, 0), (0, 0))), truth


CHILDREN = [child(seed) for seed in range(8)]
STUDIES_FOR_TRAINING = [study for study, _ in CHILDREN[:6]]
HELD_OUT = [CHILDREN[6][0]]


def trained(folder, params, recipe_hash="r") -> CascadeTraining:
    return train(params, STUDIES_FOR_TRAINING, HELD_OUT, folder, recipe_hash, SilentTracker())


def assert_equal_weights(left: torch.nn.Module, right: torch.nn.Module) -> None:
    right_state = right.state_dict()
    for name, value in left.state_dict().items():
        assert torch.equal(value, right_state[name]), name


def test_zero_weights_give_exactly_the_first_network_trained_alone(tmp_path):
    params = recipe(skd_output_weight=0.0, skd_feature_weight=0.0, scm_weight=0.0)
    module = trained(tmp_path, params)

    first = Cascade(params).first.to(memory_format=torch.channels_last)  # a plain loop, without any second network
    optimiser = torch.optim.AdamW(first.parameters(), lr=params.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    sampler = PatchSampler(STUDIES_FOR_TRAINING, patch_pixels=32, patches=2, thinned_share=0.5, seed=1)
    for step in range(params.steps):
        for group in optimiser.param_groups:
            group["lr"] = params.learning_rate * learning_rate(step, params.steps)
        examples = Examples(**to_tensors(sampler.batch(step)))
        optimiser.zero_grad()
        first_loss(first(examples.input, examples.k), examples).backward()
        torch.nn.utils.clip_grad_norm_(first.parameters(), params.gradient_clip)
        optimiser.step()
    assert_equal_weights(first, module.cascade.first)


def test_distillation_changes_the_first_network_once_the_teacher_is_better(tmp_path, monkeypatch):
    monkeypatch.setattr(timekeeper, "validate", lambda *_: {"first": 30.0, "second": 31.0})
    taught = trained(tmp_path / "a", recipe())
    monkeypatch.setattr(timekeeper, "validate", lambda *_: {"first": 30.0, "second": 29.0})
    untaught = trained(tmp_path / "b", recipe())
    plain = trained(tmp_path / "c", recipe(skd_output_weight=0.0, skd_feature_weight=0.0, scm_weight=0.0))
    assert_equal_weights(untaught.cascade.first, plain.cascade.first)  # a worse teacher is not listened to
    head = [module.cascade.first.backbone.stem.weight for module in (taught, plain)]
    assert not torch.equal(*head)
    assert "scm" in taught.curves.rows[-1]
    assert "scm" not in untaught.curves.rows[-1]


class StoppedError(Exception):
    pass


def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path, monkeypatch):
    whole = trained(tmp_path / "whole", recipe())

    draw = PatchSampler.batch

    def draw_until_the_power_fails(self, step):
        if step == 5:
            raise StoppedError
        return draw(self, step)

    monkeypatch.setattr(PatchSampler, "batch", draw_until_the_power_fails)
    with pytest.raises(StoppedError):
        trained(tmp_path / "cut", recipe())
    asked = []
    monkeypatch.setattr(PatchSampler, "batch", lambda self, step: (asked.append(step), draw(self, step))[1])
    resumed = trained(tmp_path / "cut", recipe())
    assert asked == [4, 5]  # goes on after the checkpoint of step 4
    assert resumed.steps_of_this_run == 2
    assert_equal_weights(whole, resumed)
    assert whole.curves.rows == resumed.curves.rows


def test_a_checkpoint_of_another_recipe_is_ignored(tmp_path):
    trained(tmp_path, recipe(), "old")
    fresh = trained(tmp_path, recipe(), "new")
    assert fresh.steps_of_this_run == 6
    assert trained(tmp_path, recipe(), "new").steps_of_this_run == 0  # complete: nothing left to do


def test_the_order_of_batches_does_not_depend_on_workers():
    sampler = PatchSampler(STUDIES_FOR_TRAINING, patch_pixels=32, patches=1, thinned_share=0.5, seed=1)
    alone, shared = (
        [batch["input"] for batch in batch_loader(SteppedBatches(sampler, 2, 7), workers)] for workers in (0, 2)
    )
    assert len(alone) == 5
    assert all(torch.equal(*pair) for pair in zip(alone, shared, strict=True))


def test_processes_share_each_batch():
    sampler = PatchSampler(STUDIES_FOR_TRAINING, patch_pixels=32, patches=5, thinned_share=0.5, seed=1)
    shares = [list(SteppedBatches(sampler, 3, 5, rank, processes=2)) for rank in (0, 1)]
    for step, (first, second) in enumerate(zip(*shares, strict=True), start=3):
        whole = to_tensors(sampler.batch(step))
        assert first.keys() == second.keys() == whole.keys()
        for name, values in whole.items():
            assert torch.equal(first[name], values[[0, 2, 4]])
            assert torch.equal(second[name], values[[1, 3]])


def test_the_schedule_warms_up_and_cools_down():
    rates = [learning_rate(step, 1000) for step in range(1000)]
    assert rates[0] < 0.03
    assert max(rates) > 0.98
    assert np.argmax(rates) == pytest.approx(50, abs=2)
    assert rates[-1] < 0.02


def test_the_corrected_error_estimates_the_error_against_the_truth():
    errors, exact = [], []
    for seed in range(8):
        study, truth = CHILDREN[seed]
        for view, pair in enumerate(thinned_views([study], seed)):
            window_rows = slice(0, 96)
            shown = torch.from_numpy(truth[view].astype(np.float32))
            offset = _place(pair.input[0, 0].numpy().shape, study.masks[0, view])
            wrong = shown[window_rows][offset][None, None] * 1.3 + 0.2
            errors.append(corrected_error(wrong, pair))
            exact.append(float(((wrong - shown[offset]).square() * pair.body).sum() / pair.body.sum()))
    assert np.mean(errors) == pytest.approx(np.mean(exact), rel=0.15)


def _place(shape, body):
    rows, columns = (np.flatnonzero((body > 127).any(axis)) for axis in (1, 0))
    top, left = max(0, rows[0] - 16), max(0, columns[0] - 16)
    return slice(top, top + shape[0]), slice(left, left + shape[1])


def written_dataset(folder) -> train_cascade.Inputs:
    rows = []
    for number, (study, _) in enumerate(CHILDREN):
        name = f"study{number}"
        save_pair(folder / "dataset" / STUDIES / f"{name}.npz", Pair(study.rapid, study.standard))
        save_prior(folder / "priors" / f"{name}.npz", Prior(study.masks, study.masks))
        row = {column: "" if kind == "string" else 0 for column, kind in COLUMNS.items()}
        split = "train" if number < 6 else "validation"
        row |= {"study": name, "patient": name, "split": split, "count_ratio": study.k}
        rows.append(row | {"standard_counts_sha256": counts_sha256(study.standard)})
    save_manifest(folder / "dataset", rows)
    return train_cascade.Inputs(folder / "dataset", folder / "priors")


@pytest.fixture(scope="module")
def stage_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage")
    params = recipe(
        base_blur_pixels=1.8,
        steps=120,
        learning_rate=0.006,
        patches_per_step=6,
        validate_every=40,
        checkpoint_every=40,
        second_every=2,
    )
    cascade = folder / "cascade"
    report = train_cascade.run(params, written_dataset(folder), train_cascade.Outputs(cascade), SilentTracker())
    return cascade, report


def test_the_stage_learns_more_than_its_gaussian_base(stage_run):
    _, report = stage_run
    assert report["validation_psnr_first_db"] > report["validation_psnr_gaussian_db"] + 2
    assert report["patches_per_second"] > 0
    assert all(isinstance(value, float) and np.isfinite(value) for value in report.values())


def test_an_unseen_child_is_restored_better_than_by_the_best_gaussian_filter(stage_run):
    study, truth = CHILDREN[7]
    scaled = study.rapid * study.k
    best = min(np.mean((gaussian_filter(scaled, (0, sigma, sigma)) - truth) ** 2) for sigma in (0.8, 1.0, 1.2, 1.8))
    assert np.mean((load_restorer(stage_run[0])(study.rapid, study.k) - truth) ** 2) < 0.85 * best


def test_the_stage_leaves_a_whole_folder_and_no_checkpoint(stage_run):
    cascade, _ = stage_run
    names = {path.name for path in cascade.iterdir()}
    assert names == {"first.safetensors", "second.safetensors", "cascade.json", "curves.csv", "curves.png"}
    assert {path.name for path in cascade.parent.iterdir()} == {"cascade", "dataset", "priors"}
    with (cascade / "curves.csv").open() as source:
        rows = list(csv.DictReader(source))
    assert rows[-1]["step"] == "120"
    assert float(rows[-1]["deviance_first"]) < float(rows[0]["deviance_first"])


def test_the_restorer_takes_any_scan_and_keeps_its_counts(stage_run):
    restore = load_restorer(stage_run[0])
    for shape in ((2, 97, 65), (1, 50, 33), (3, 64, 64)):
        assert restore(np.ones(shape, np.uint16), 2.0).shape == shape
    study, _ = CHILDREN[7]
    restored = restore(study.rapid, study.k)
    assert restored.dtype == np.float32
    assert restored.min() >= 0
    assert restored.sum() == pytest.approx(study.k * study.rapid.sum(), rel=0.05)


def test_the_network_restores_scans_like_the_restorer(stage_run):
    network, restore = load_network(stage_run[0]), load_restorer(stage_run[0])
    scans = np.stack([CHILDREN[6][0].rapid, CHILDREN[7][0].rapid])
    with torch.no_grad():
        together = network(torch.from_numpy(scans.astype(np.float32)), torch.tensor([2.06, 1.9])).numpy()
    np.testing.assert_allclose(together[0], restore(scans[0], 2.06), rtol=1e-5)
    np.testing.assert_allclose(together[1], restore(scans[1], 1.9), rtol=1e-5)


def test_altered_or_absent_weights_are_refused(stage_run, tmp_path):
    import shutil

    with pytest.raises(ScintiflowError, match="not a trained cascade"):
        load_restorer(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(stage_run[0], copy)
    assert checkpoint_sha256(copy) == checkpoint_sha256(stage_run[0])
    shutil.copy(copy / "second.safetensors", copy / "first.safetensors")
    with pytest.raises(ScintiflowError, match="differs from"):
        load_restorer(copy)


def test_training_starts_from_the_weights_that_it_is_given(stage_run):
    cascade, _ = stage_run
    start = {"start_from": str(cascade), "start_from_sha256": checkpoint_sha256(cascade)}
    plain = recipe(steps=1, learning_rate=1e-9, weight_decay=0.0, **first_of(cascade))
    given, fresh = (
        train(params, [CHILDREN[0][0]], [CHILDREN[6][0]], cascade.parent / f"absent-{name}", name, SilentTracker())
        for name, params in (("given", changed(plain, **start)), ("fresh", plain))
    )
    wanted = load_network(cascade).first.state_dict()
    for name, value in given.averaged_cascade.first.state_dict().items():
        torch.testing.assert_close(value, wanted[name], atol=1e-5, rtol=0)
    assert any(
        not torch.allclose(value, wanted[name], atol=1e-3)
        for name, value in fresh.averaged_cascade.first.state_dict().items()
    )


def test_weights_of_another_network_or_another_hash_are_refused(stage_run):
    cascade, _ = stage_run
    given = {"start_from": str(cascade), "start_from_sha256": checkpoint_sha256(cascade)}
    with pytest.raises(ScintiflowError, match="was trained with first"):
        starting_weights(recipe(**first_of(cascade) | {"first": {"width": 4, "blocks": [1]}}, **given))
    with pytest.raises(ScintiflowError, match="holds weights with SHA-256"):
        starting_weights(recipe(**given | {"start_from_sha256": "0" * 64}))


def test_two_views_start_from_one_and_do_not_look_at_the_other_at_first(stage_run):
    cascade, _ = stage_run
    given = {"start_from": str(cascade), "start_from_sha256": checkpoint_sha256(cascade), "views": 2}
    params = recipe(**first_of(cascade), **given)
    network = Cascade(params).first
    network.load_state_dict(starting_weights(params))
    one = load_network(cascade).first
    counts, k = torch.poisson(torch.full((1, 1, 48, 40), 4.0)), torch.tensor([2.0])
    opposite = torch.stack([torch.poisson(torch.full((48, 40), 9.0)), torch.ones(48, 40)])[None]
    torch.testing.assert_close(network(counts, k, opposite).counts, one(counts, k).counts)


def first_of(cascade) -> dict:
    description = read_json(cascade / "cascade.json")
    return {"first": description["first"], "base_blur_pixels": description["base_blur_pixels"]}
