"""`scintiflow ablation` in a fresh project, through kfp.local: ten trainings, one table."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from projects import lay_out, under_git_and_dvc

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def scintiflow(project: Path, *arguments: str) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for name in ("MLFLOW_TRACKING_URI", "SCINTIFLOW_PIPELINE_RUN", "SCINTIFLOW_EXPERIMENT", "SCINTIFLOW_GIT_SHA"):
        environment.pop(name, None)
    result = subprocess.run(
        [sys.executable, "-m", "scintiflow.cli", *arguments],
        cwd=project, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = under_git_and_dvc(lay_out(tmp_path_factory.mktemp("ablation")))
    scintiflow(folder, "sample-cohorts", "--profile", "tiny")
    return folder


def test_ten_trainings_become_one_table_and_nothing_runs_twice(project):
    said = scintiflow(project, "ablation", "--profile", "tiny")
    assert "(10 of 10)" in said
    table = project / re.search(r"Table: (\S+)", said)[1]
    found = pd.read_csv(table / "ablation.csv")
    assert set(found["arm"]) == {"none", "spi", "spi_skd", "spi_skd_scm", "unadapted"}
    assert set(found["seeds"]) == {2}
    first = found[(found["network"] == "first") & (found["metric"] == "psnr_truth")].set_index("arm")["mean"]
    assert first["none"] == first["spi"]  # by construction
    second = found[(found["network"] == "second") & (found["metric"] == "psnr_truth")].set_index("arm")["mean"]
    assert second["spi"] != second["none"]
    assert second["unadapted"] != second["spi_skd_scm"]
    assert "| + SPI + SKD + SCM |" in (table / "ablation.md").read_text()
    with Image.open(table / "ablation.png") as picture:
        picture.verify()

    again = scintiflow(project, "ablation", "--profile", "tiny")
    assert "10 trainings" in again
    assert "Train and score" not in again
