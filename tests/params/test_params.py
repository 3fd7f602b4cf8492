"""A wrong recipe is refused with file, key, reason and remedy; a right one is frozen."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from scintiflow.errors import ScintiflowError
from scintiflow.params import load_params, load_reference_recipe, parse_section
from scintiflow.stages.graph import STAGES

ROOT = Path(__file__).parents[2]
BASE = ROOT / "params.yaml"


def overlay(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "overlay.yaml"
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize("profile", [None, ROOT / "profiles" / "laptop.yaml"])
def test_shipped_recipes_are_valid(profile):
    load_params(BASE, profile)


def test_every_stage_has_a_section_that_survives_json():
    params = load_params(BASE)
    for stage in STAGES:
        section = params.section(stage.name)
        assert parse_section(stage.name, section.model_dump_json()) == section


def test_profile_changes_only_what_it_names(tmp_path):
    base = load_params(BASE)
    changed = load_params(BASE, overlay(tmp_path, "train_cascade: {steps: 7}"))
    assert changed.train_cascade.steps == 7
    assert changed.train_cascade.model_copy(update={"steps": base.train_cascade.steps}) == base.train_cascade
    assert changed.train_cascade.sha256() != base.train_cascade.sha256()
    assert changed.ingest.sha256() == base.ingest.sha256()


def test_who_trains_does_not_change_what_is_trained():
    """Interrupted training is found again by `work_sha256`, so that fewer GPUs can go on."""
    training = load_params(BASE).train_cascade
    for other in ({"devices": 4}, {"nodes": 2, "devices": 2}):
        moved = training.model_copy(update=other)
        assert moved.work_sha256() == training.work_sha256()
        assert moved.sha256() != training.sha256()
    slower = training.model_copy(update={"learning_rate": training.learning_rate / 2})
    assert slower.work_sha256() != training.work_sha256()


def test_a_reference_recipe_may_lie_over_another(tmp_path):
    base = load_reference_recipe(ROOT / "reference" / "recipe.yaml")
    (tmp_path / "base.yaml").write_text((ROOT / "reference" / "recipe.yaml").read_text())
    path = tmp_path / "more.yaml"
    path.write_text("over: base.yaml\nscenes: {lesion_weight: 3.0}\ntrain_cascade: {steps: 7, start_from: x}\n")
    changed = load_reference_recipe(path)
    assert changed.scenes == base.scenes.model_copy(update={"lesion_weight": 3.0})
    assert changed.train_cascade == base.train_cascade | {"steps": 7, "start_from": "x"}
    path.write_text("over: absent.yaml\n")
    with pytest.raises(ScintiflowError, match=r"absent\.yaml: no such file"):
        load_reference_recipe(path)
    path.write_text("over: base.yaml\nscenes: {lesions: 1}\n")
    with pytest.raises(ScintiflowError, match="lesions"):
        load_reference_recipe(path)


def test_values_cannot_be_changed_afterwards():
    params = load_params(BASE)
    with pytest.raises(ValidationError, match="frozen"):
        params.train_cascade.steps = 1


@pytest.mark.parametrize(
    ("content", "key", "words"),
    [
        ("train_cascade: {stpes: 7}", "train_cascade.stpes", "Did you mean 'steps'?"),
        ("no_such_section: {}", "no_such_section", "unknown key"),
        ("train_cascade: {steps: many}", "train_cascade.steps", "valid integer (it is 'many')"),
        ("train_cascade: {steps: 1.5}", "train_cascade.steps", "integer"),
        ("train_cascade: {steps: 0}", "train_cascade.steps", "greater than or equal to 1"),
        ("train_cascade: {patch_pixels: 100}", "train_cascade.patch_pixels", "multiple of 16"),
        ("adapt_sam: {architecture: {size: vit_z}}", "adapt_sam.architecture.size", "vit_b"),
        ("adapt_sam: {architecture: {checkpoint_sha256: ''}}", "adapt_sam.architecture", "together"),
        ("adapt_sam: {architecture: {checkpoint: '', checkpoint_sha256: ''}}", "adapt_sam.architecture", "needs a"),
        ("ingest: {split: {train: 0.9, validation: 0.2}}", "ingest.split", "test patients"),
        ("ingest: {protocol: {rapid_velocity_mm_s: 1.0}}", "ingest.protocol", "larger than"),
        ("register: {gate: {smallest_test_patients: '4'}}", "register.gate.smallest_test_patients", "integer"),
    ],
)
def test_wrong_values_name_file_key_and_remedy(tmp_path, content, key, words):
    path = overlay(tmp_path, content)
    with pytest.raises(ScintiflowError) as caught:
        load_params(BASE, path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ")
    assert f"'{key}'" in sentence
    assert words in sentence
    assert caught.value.remedy


def test_missing_key_is_named(tmp_path):
    values = yaml.safe_load(BASE.read_text())
    del values["evaluate"]["bm3d"]
    path = overlay(tmp_path, yaml.safe_dump(values))
    with pytest.raises(ScintiflowError, match=r"key 'evaluate\.bm3d' is missing"):
        load_params(path)


def test_broken_yaml_names_the_line(tmp_path):
    with pytest.raises(ScintiflowError, match=r"not valid YAML at line 2"):
        load_params(BASE, overlay(tmp_path, "train_cascade:\n  steps: [1"))


def test_missing_file(tmp_path):
    with pytest.raises(ScintiflowError, match="no such file"):
        load_params(tmp_path / "absent.yaml")
