"""What is found before a rerun starts, and what is refused. The rerun itself: tests/e2e/test_e2e_two_clones.py."""

from pathlib import Path

import pytest
import yaml

from scintiflow.cluster.reproduction import Original, find_original, lay_out
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_tree, write_json
from scintiflow.params import load_params
from scintiflow.registry.lineage import RECIPE, History, ModelRecord
from scintiflow.registry.models import tag_version
from scintiflow.registry.runs import close_parent


@pytest.fixture
def recorded(pipeline, laptop, tmp_path):
    """A model whose run kept its recipe, and one whose run did not."""
    pipeline.run("first")
    write_json(tmp_path / RECIPE, laptop.model_dump(by_alias=True))
    run_id = close_parent("FINISHED", {}, {}, [tmp_path / RECIPE])
    tag_version("scintiflow", "1", {"pipeline_run_id": run_id, "truth_sha256": "t", "cohort.a": "dvc:1.dir"})
    pipeline.run("second")
    return History.read()


def test_the_original_is_read_from_what_its_run_recorded(recorded, laptop, tmp_path):
    original = find_original("scintiflow@1", recorded)
    assert original.code_sha == "c" * 40
    assert (original.cohorts, original.truth_sha256) == ({"a": "dvc:1.dir"}, "t")
    assert set(original.stages) >= {"ingest", "train_cascade", "register", "restore_real"}
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(original.recipe))
    assert load_params(tmp_path / "again.yaml") == laptop  # the recipe comes back whole, not as MLflow's cut text


@pytest.mark.parametrize("target", ["scintiflow@2", "scintiflow@nobody"])
def test_a_model_that_cannot_be_made_again_is_refused(recorded, target):
    with pytest.raises(ScintiflowError, match=r"no recipe|no such model"):
        find_original(target, recorded)


def original_of(folder: Path, laptop, **cohorts: str) -> Original:
    model = ModelRecord("scintiflow", "1", (), "r", {})
    recipe = laptop.model_dump(by_alias=True)
    return Original(model, "p", "c" * 40, cohorts, sha256_tree(folder / "data" / "truth"), recipe, {})


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    for name in ("truth", "cohorts/a"):
        (folder / "data" / name).mkdir(parents=True)
        (folder / "data" / name / "file").write_text(name)
    return folder


def test_data_that_no_version_holds_is_only_taken_if_it_is_still_the_same(project, laptop, tmp_path):
    state = f"sha256:{sha256_tree(project / 'data' / 'cohorts' / 'a')}"
    original = original_of(project, laptop, a=state)
    lay_out(original, project, tmp_path / "first")
    assert (tmp_path / "first" / "data" / "cohorts" / "a" / "file").read_text() == "cohorts/a"
    (project / "data" / "cohorts" / "a" / "file").write_text("altered")
    with pytest.raises(ScintiflowError, match="never versioned"):
        lay_out(original, project, tmp_path / "second")


def test_another_truth_is_refused(project, laptop, tmp_path):
    original = original_of(project, laptop)
    (project / "data" / "truth" / "file").write_text("another")
    with pytest.raises(ScintiflowError, match="truth"):
        lay_out(original, project, tmp_path / "rerun")
