"""The whole road through the front door: `scintiflow` in a fresh project, kfp.local, MLflow, DVC."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from projects import change, lay_out, runs, scintiflow, under_git_and_dvc

from scintiflow.stages.graph import STAGES


def plan(project: Path, expect: int) -> dict:
    return json.loads(scintiflow(project, "plan", "--profile", "tiny", "--json", expect=expect))


def stages_run(said: str) -> list[str]:
    """Names of the stages that a retrain says it ran, in order."""
    titles = {stage.title: stage.name for stage in STAGES}
    return [titles[title] for title in re.findall(r"^  > (.+?) +running$", said, re.MULTILINE)]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with data and one finished retrain."""
    folder = under_git_and_dvc(lay_out(tmp_path_factory.mktemp("project"), "dvc.yaml"))
    scintiflow(folder, "sample-cohorts", "--profile", "tiny")
    (folder / "first.log").write_text(scintiflow(folder, "retrain", "--profile", "tiny"))
    return folder


def test_one_command_ends_with_a_registered_model_and_a_report(project):
    log = (project / "first.log").read_text()
    assert "8 stages ran" in log
    assert re.search(r"Gate: (NOT )?PASSED", log)
    report = project / re.search(r"Report: (\S+)", log)[1]
    page = report.read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") >= 3
    assert not re.search(r"(src|href)=\"https?:", page)
    assert "not available" in page  # LPIPS and FID have no weights here, and the page says so

    client, parents, children = runs(project)
    assert [run.info.status for run in parents] == ["FINISHED"]
    assert {run.info.run_name for run in children} == {
        "ingest", "adapt_sam", "distil_priors", "train_cascade", "fetch_champion", "evaluate", "register",
        "restore_real",
    }  # fmt: skip
    assert all(run.info.status == "FINISHED" for run in children)
    versions = client.search_model_versions("name='scintiflow'")
    assert len(versions) == 1
    assert set(client.get_registered_model("scintiflow").aliases) <= {"champion", "challenger"}


@pytest.mark.parametrize("program", ["chromium"], indirect=True)
def test_the_report_opens_in_a_browser_and_asks_nothing_of_a_network(project, program, tmp_path):
    report = next((project / ".scintiflow" / "pipeline").rglob("restored/report.html"))
    command = [
        program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path}", "--enable-logging=stderr",
        "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom", report.as_uri(),
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "Held-out patients" in result.stdout
    # the page's own policy forbids every request: one that was tried would be reported on the console
    assert "default-src &#39;none&#39;" in result.stdout or "default-src 'none'" in result.stdout
    assert "CONSOLE" not in result.stderr


def test_real_scan_comes_out_as_derived_dicom(project):
    written = list((project / ".scintiflow" / "pipeline").rglob("restored/*.dcm"))
    assert len(written) == 1
    dataset = pydicom.dcmread(written[0])
    assert dataset.ImageType[0] == "DERIVED"
    assert dataset.PatientIdentityRemoved == "YES"
    assert (dataset.Rows, dataset.Columns) == (1024, 256)


def test_nothing_changed_means_nothing_runs(project):
    assert plan(project, expect=0)["verdict"] == "nothing to do"
    said = scintiflow(project, "retrain", "--profile", "tiny")
    assert "Nothing has changed: no stage ran again" in said
    assert said.count("unchanged, reused") == len(STAGES)
    assert len(runs(project)[1]) == 1


def test_one_stage_can_be_run_again(project):
    said = scintiflow(project, "retrain", "--profile", "tiny", "--again", "restore_real")
    assert "1 stages ran" in said
    assert "+ Restore the real scan" in said
    assert said.count("unchanged, reused") == 7
    assert "no stage ran again" in scintiflow(project, "retrain", "--profile", "tiny")


def test_a_changed_section_reruns_its_stage_and_what_follows(project):
    change(project, register={"gate": {"smallest_test_patients": 1, "smallest_lesion_patients": 1, "seed": 9}})
    planned = plan(project, expect=3)
    said = scintiflow(project, "retrain", "--profile", "tiny")
    assert "2 stages ran" in said
    assert stages_run(said) == [stage["name"] for stage in planned["stages"] if stage["runs"]]
    register, restore = (stage for stage in planned["stages"] if stage["runs"])
    assert register["reasons"] == ["params: gate.seed"]
    assert restore["reasons"] == ["upstream: register"]
    assert register["seconds"] > 0
    assert planned["total"]["gpu_hours"] == 0
    if planned["champion"]:
        changed = [
            (found["section"], found["key"], found["old"], found["new"]) for found in planned["changed_params"]
        ]
        assert changed == [("register", "gate.seed", "1", "9")]
    assert said.count("unchanged, reused") == 6
    assert [run.info.run_name for run in runs(project)[2] if run.data.params.get("gate.seed") == "9"] == ["register"]


@pytest.mark.slow  # two minutes; that dvc.yaml has the pipeline's stages and edges is held by tests/stages
def test_dvc_repro_walks_the_same_road(project):
    text = (project / "dvc.yaml").read_text().replace("profile: laptop", "profile: tiny")
    # code is tracked by path inside the repository; this project has none of its own
    text = re.sub(r"\n      - src/scintiflow/\S+", "", text)
    text = re.sub(r"\n    deps:(?=\n    \w)", "", text)  # a stage that depended on code alone
    (project / "dvc.yaml").write_text(text)
    environment = os.environ | {
        "DVC_NO_ANALYTICS": "1",
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }

    def dvc(*arguments: str) -> str:
        command = [sys.executable, "-m", "dvc", *arguments]
        result = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    dvc("repro")
    assert "didn't change, skipping" in dvc("repro")
    metrics = dvc("metrics", "show")
    assert "train_cascade.json" in metrics
    assert "psnr" in metrics
    dvc("plots", "show")
    assert (project / "dvc_plots" / "index.html").is_file()
