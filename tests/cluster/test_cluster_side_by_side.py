"""`scintiflow compare`: two evaluations out of a real registry, on one page, paired by patient."""

import html
import re

import pandas as pd
import pytest
from blob_children import build_cohort, small_evaluation
from typer.testing import CliRunner

import scintiflow.stages.champion_restorer as champion_restorer
import scintiflow.stages.evaluate as stage
from scintiflow.cli import app
from scintiflow.errors import ScintiflowError
from scintiflow.evaluation.baselines import Gaussian
from scintiflow.evaluation_folder import PATIENTS
from scintiflow.files import write_json
from scintiflow.registry.runs import stage_run

MODELS = {"better": Gaussian(1.2), "worse": Gaussian(0.4)}
QUICK = small_evaluation().model_copy(update={"bm3d": False, "nlm": False, "pictured_patients": 4})


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return build_cohort(tmp_path_factory.mktemp("cohort"), {"validation": 1, "test": 4})


@pytest.fixture
def run_of(cohort, tmp_path, monkeypatch):
    """Evaluate a model as a pipeline run does; gives the id of the stage's run."""

    def evaluate(model: str, params=QUICK) -> str:
        folder = tmp_path / model
        for module, found in ((stage, model), (champion_restorer, model)):
            monkeypatch.setattr(module, "load_restorer", lambda path, found=found: MODELS[found])
            monkeypatch.setattr(module, "checkpoint_sha256", lambda path, found=found: found[0] * 64)
        monkeypatch.setattr(stage, "origin_of", lambda path: "nothing: random weights")
        write_json(folder / "champion" / "champion.json", {"champion": None})
        (folder / "cascade").mkdir()
        inputs = stage.Inputs(
            cohort.dataset.folder, folder / "sam", folder / "priors", folder / "cascade", folder / "champion",
            cohort.truth,
        )  # fmt: skip
        with stage_run("evaluate", {}, {"input.cascade.sha256": model}) as run:
            run.tag("output.evaluation.sha256", model)
            stage.run(params, inputs, stage.Outputs(folder / "evaluation"), run.tracker)
        return run.run_id

    return evaluate


def compare(*words: str) -> str:
    result = CliRunner().invoke(app, ["compare", *words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_the_page_holds_one_run_against_the_other(run_of, tmp_path):
    first, second = run_of("worse"), run_of("better")
    page = tmp_path / "page.html"
    said = compare(first, second[:12], "-o", str(page))
    text = html.unescape(page.read_text())
    assert "Restored by run A" in text
    assert f"run {first}" in text
    assert "By the gate's rules run B would" in text
    assert text.count('data-panels="') == 2 * 4  # every scan as A and as B restored it
    assert "restored by A" in text
    tables = [pd.read_parquet(tmp_path / name / "evaluation" / PATIENTS) for name in ("worse", "better")]
    means = [table[table["method"] == "restored"].groupby("patient")["psnr_truth"].mean() for table in tables]
    gain = (means[1] - means[0]).mean()
    assert gain > 3
    assert f"+{gain:.2f} dB" in text.split('class="cards"', 1)[1].split("</div>", 2)[0]
    rows = re.findall(r"<tr><td>PSNR: better than the champion.*?</tr>", text)
    assert len(rows) == 1
    assert "a gain for 4 of 4 patients" in rows[0]
    assert "Page:" in said

    against = compare(second, first, "-o", str(tmp_path / "other.html"))
    assert "run B would not take run A's place" in against
    assert "PSNR: better than the champion: gain −" in against


def test_runs_that_measured_differently_are_not_compared(run_of, tmp_path):
    few_pictures = QUICK.model_copy(update={"pictured_patients": 1, "pictured_worst": 0})
    first = run_of("worse", few_pictures)
    second = run_of("better", few_pictures.model_copy(update={"data_range_counts": 20.0}))
    with pytest.raises(ScintiflowError, match="measured the same rapid scans differently"):
        compare(first, second, "-o", str(tmp_path / "page.html"))
    assert not (tmp_path / "page.html").exists()


def test_what_is_no_evaluation_is_refused(run_of, tmp_path):
    with stage_run("ingest", {}, {}) as run:
        pass
    for target in (run.run_id, "0" * 32, "scintiflow@champion"):
        with pytest.raises(ScintiflowError, match="no finished run or model with an evaluation"):
            compare(target, target, "-o", str(tmp_path / "page.html"))
