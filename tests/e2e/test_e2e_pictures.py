"""From folders of paired pictures to a registered model: the graph's own stages, one after the other."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from picture_pairs import good_picture, poor_picture, write_delivery, write_picture
from PIL import Image

from scintiflow.errors import ScintiflowError
from scintiflow.params import Params, load_params
from scintiflow.stages.graph import STAGES
from scintiflow.stages.restoring import open_model
from scintiflow.stages.single import run_single_stage

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def recipe(project: Path) -> Params:
    shutil.copy(ROOT / "params.yaml", project)
    shipped = yaml.safe_load((ROOT / "profiles" / "endoscopy.yaml").read_text())
    (project / "tiny.yaml").write_text(
        yaml.safe_dump(laid_over(shipped, yaml.safe_load(Path(__file__).with_name("pictures.yaml").read_text())))
    )
    return load_params(project / "params.yaml", project / "tiny.yaml")


def laid_over(base: dict, overlay: dict) -> dict:
    return base | {
        key: laid_over(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in overlay.items()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project after every stage, and what each reported. One poor picture waits for its partner."""
    project = tmp_path_factory.mktemp("pictures")
    cohort = project / "data" / "cohorts" / "generated"
    write_delivery(cohort, patients=10, frames=2)
    write_picture(cohort / "low" / "p00_alone.png", poor_picture(good_picture(999), 999))
    (project / "data" / "truth").mkdir(parents=True)
    params = recipe(project)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        for name in ("MLFLOW_TRACKING_URI", "SCINTIFLOW_CHECKPOINTS", "SCINTIFLOW_PRIOR_STORE"):
            patch.delenv(name, raising=False)
        yield project, {stage.name: run_single_stage(stage.name, params) for stage in STAGES}


def test_the_model_is_registered_and_better_than_what_it_was_given(finished):
    project, reports = finished
    evaluated = reports["evaluate"]
    assert evaluated["psnr_standard_restored"] > evaluated["psnr_standard_identity"] + 3
    registration = json.loads((project / "build" / "registration" / "registration.json").read_text())
    assert registration["name"] == "scintiflow-endoscopy"
    assert registration["alias"] == "champion"
    assert "pictures" in registration["decision"]["sentence"]


def test_priors_name_tones_and_not_bones(finished):
    project, reports = finished
    assert not [name for report in reports.values() for name in report if "_bone" in name or "bladder" in name]
    index = json.loads((project / "build" / "priors" / "priors.json").read_text())
    assert index["structures"] == ["frame", "darkest", "dark", "bright", "brightest"]


def test_the_picture_without_a_partner_comes_out_restored(finished):
    project, reports = finished
    assert reports["restore_real"]["pictures_restored"] == 1
    with Image.open(project / "build" / "restored" / "pictures" / "generated" / "p00_alone.png") as picture:
        restored = np.asarray(picture, dtype=float)
    good = good_picture(999).astype(float)
    given = poor_picture(good_picture(999), 999)
    assert restored.shape == good.shape
    assert np.mean((restored - good) ** 2) < 0.5 * np.mean((given - good) ** 2)


def test_the_report_says_that_these_are_pictures(finished):
    project, _ = finished
    page = (project / "build" / "restored" / "report.html").read_text()
    assert "these are pictures" in page
    assert "Poor picture" in page
    said_of_scans = ("standard scan", "rapid scan", "counts per pixel", "Simulated children", "Age, view")
    assert [words for words in said_of_scans if words in page] == []
    assert "data:image/png;base64" in page


def test_a_model_of_pictures_refuses_scans(finished):
    with pytest.raises(ScintiflowError, match="restores pictures, not scans"):
        open_model("scintiflow-endoscopy@champion")
