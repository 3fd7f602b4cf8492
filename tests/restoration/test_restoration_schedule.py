"""When training ends, what one step is made of, and what it shows meanwhile."""

import pytest
import torch
from test_restoration_training import HELD_OUT, STUDIES_FOR_TRAINING, assert_equal_weights, recipe

from scintiflow.dataset.patches import PatchSampler
from scintiflow.params import TrainCascadeParams, load_params
from scintiflow.restoration import timekeeper
from scintiflow.restoration.batches import to_tensors
from scintiflow.restoration.best import BestSoFar
from scintiflow.restoration.cascade import Cascade, Examples, first_loss
from scintiflow.restoration.module import learning_rate
from scintiflow.restoration.panel import PICTURES_AT_MOST, picture_steps
from scintiflow.restoration.training import train
from scintiflow.tracking import SilentTracker

WITHOUT_TEACHER = {"skd_output_weight": 0.0, "skd_feature_weight": 0.0, "scm_weight": 0.0}


def run(folder, params: TrainCascadeParams, tracker=None):
    return train(params, STUDIES_FOR_TRAINING, HELD_OUT, folder, "r", tracker or SilentTracker())


def scripted(monkeypatch, values: list[float]) -> None:
    """Validations that find these PSNRs of f^IR1, one after the other; then the power fails."""
    remaining = list(values)

    def validate(*_) -> dict[str, float]:
        if not remaining:
            raise InterruptedError
        return {"first": remaining.pop(0), "second": 0.0}

    monkeypatch.setattr(timekeeper, "validate", validate)


def test_training_stops_when_patience_ends_and_keeps_the_best_weights(tmp_path, monkeypatch):
    scripted(monkeypatch, [30.0, 31.0, 30.5, 30.9, 99.0])
    stopped = run(tmp_path / "a", recipe(steps=10, patience=2))
    assert stopped.curves.rows[-1]["step"] == 8
    scripted(monkeypatch, [30.0, 31.0])
    best = run(tmp_path / "b", recipe(steps=4, validate_every=2))
    for name, value in stopped.averaged_cascade.state_dict().items():
        assert value.shape == best.averaged_cascade.state_dict()[name].shape
    assert stopped.best.psnr == 31.0
    assert_equal_weights_of(stopped.averaged_cascade, stopped.best.weights)
    assert not torch.equal(
        stopped.averaged_cascade.first.backbone.stem.weight, stopped.cascade.first.backbone.stem.weight
    )


def assert_equal_weights_of(network: torch.nn.Module, weights: dict) -> None:
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_a_stopped_training_stays_stopped(tmp_path, monkeypatch):
    scripted(monkeypatch, [30.0, 29.0, 28.0])
    params = recipe(steps=10, patience=1)
    stopped = run(tmp_path, params)
    again = run(tmp_path, params)  # as after a crash between training and saving
    assert again.steps_of_this_run == 0
    assert_equal_weights(stopped.averaged_cascade, again.averaged_cascade)


def test_an_interruption_does_not_forget_the_best(tmp_path, monkeypatch):
    scripted(monkeypatch, [31.0, 30.0, 29.0, 28.0])
    whole = run(tmp_path / "whole", recipe(steps=8, patience=3))
    scripted(monkeypatch, [31.0, 30.0])
    with pytest.raises(InterruptedError):
        run(tmp_path / "cut", recipe(steps=8, patience=3))
    scripted(monkeypatch, [29.0, 28.0])
    resumed = run(tmp_path / "cut", recipe(steps=8, patience=3))
    assert_equal_weights(whole.averaged_cascade, resumed.averaged_cascade)
    assert resumed.best.psnr == 31.0


def test_without_patience_nothing_is_kept():
    best = BestSoFar(0)
    best.note(1.0, torch.nn.Linear(1, 1))
    assert best.weights is None
    assert not best.is_over


def test_several_batches_make_one_step(tmp_path):
    params = recipe(steps=4, batches_per_step=3, **WITHOUT_TEACHER)
    module = run(tmp_path, params)
    assert [row["step"] for row in module.curves.rows] == [1, 2, 3, 4]

    first = Cascade(params).first.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(first.parameters(), lr=params.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4)
    sampler = PatchSampler(STUDIES_FOR_TRAINING, patch_pixels=32, patches=2, thinned_share=0.5, seed=1)
    for step in range(4):
        for group in optimiser.param_groups:
            group["lr"] = params.learning_rate * learning_rate(step, 4)
        optimiser.zero_grad()
        for batch in range(3 * step, 3 * step + 3):
            examples = Examples(**to_tensors(sampler.batch(batch)))
            (first_loss(first(examples.input, examples.k), examples) / 3).backward()
        torch.nn.utils.clip_grad_norm_(first.parameters(), params.gradient_clip)
        optimiser.step()
    for name, value in first.state_dict().items():
        torch.testing.assert_close(module.cascade.first.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_steps_of_several_batches_resume_to_the_same_bits(tmp_path, monkeypatch):
    params = recipe(batches_per_step=2)
    whole = run(tmp_path / "whole", params)
    draw = PatchSampler.batch

    def until_the_power_fails(self, step):
        if step == 7:  # in the middle of a step
            raise InterruptedError
        return draw(self, step)

    monkeypatch.setattr(PatchSampler, "batch", until_the_power_fails)
    with pytest.raises(InterruptedError):
        run(tmp_path / "cut", params)
    monkeypatch.setattr(PatchSampler, "batch", draw)
    assert_equal_weights(whole, run(tmp_path / "cut", params))


@pytest.mark.parametrize(
    "changes",
    [
        {"views": 2},
        {"prior_head_weight": 0.5},
        {"first": {"width": 8, "blocks": [1, 1], "backbone": "restormer"}},
        {"second": {"width": 6, "blocks": [1], "backbone": "unet"}},
        {"augmentation": {"smallest_count_share": 0.25, "accelerations": [1.5, 4.0], "binned_share": 0.5}},
    ],
    ids=["two views", "prior head", "restormer", "unet", "wide"],
)
def test_every_option_trains_and_resumes_to_the_same_bits(tmp_path, changes):
    params = recipe(steps=4, **changes)
    whole = run(tmp_path / "whole", params)
    assert all(value.isfinite().all() for value in whole.cascade.state_dict().values())
    assert run(tmp_path / "whole", params).steps_of_this_run == 0
    assert not torch.equal(whole.cascade.first.backbone.stem.weight, Cascade(params).first.backbone.stem.weight)
    assert ("prior_head" in whole.curves.rows[-1]) == ("prior_head_weight" in changes)


class Listener(SilentTracker):
    def __init__(self) -> None:
        self.pictures: dict[str, bytes] = {}

    def artifact(self, path, folder="") -> None:
        assert folder == "pictures"
        self.pictures[path.name] = path.read_bytes()


def test_pictures_of_a_held_out_view_reach_the_tracker(tmp_path):
    listener = Listener()
    run(tmp_path, recipe(steps=4), listener)
    assert sorted(listener.pictures) == ["step-000002.png", "step-000004.png"]
    assert all(content.startswith(b"\x89PNG") and len(content) > 5000 for content in listener.pictures.values())
    assert len(set(listener.pictures.values())) == 2


@pytest.mark.parametrize(("steps", "every"), [(6, 2), (1000, 250), (60000, 1000), (5, 10), (7, 2)])
def test_there_are_few_pictures_and_the_last_is_one(steps, every):
    chosen = picture_steps(steps, every)
    assert len(chosen) == len(set(chosen)) <= PICTURES_AT_MOST
    assert chosen[-1] == steps
    assert all(step % every == 0 or step == steps for step in chosen)


def test_the_shipped_recipe_leaves_every_new_option_off(request):
    params = load_params(request.config.rootpath / "params.yaml").train_cascade
    assert (params.patience, params.batches_per_step, params.views, params.prior_head_weight) == (0, 1, 1, 0.0)
    assert params.masks_from == "standard"
    assert params.augmentation.model_dump() == {
        "smallest_count_share": 1.0,
        "accelerations": [],
        "binned_share": 0.0,
    }
