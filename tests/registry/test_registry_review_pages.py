"""Stock MLflow pages answer a reviewer's questions: chromium on a real server that keeps its runs in PostgreSQL."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from finished_runs import PICTURES, against, finish_run
from mlflow import MlflowClient
from mlflow_server import find_postgresql, mlflow_server, postgresql
from patient_tables import good_table
from playwright.sync_api import Page, expect, sync_playwright

from scintiflow.params import load_params
from scintiflow.registry.promotion import problems
from scintiflow.registry.surroundings import EXPERIMENT, TRACKING_URI

ROOT = Path(__file__).parents[2]
NAMES = ("retrain-1", "retrain-2", "retrain-3")
TRAINING = "workflowType=machine_learning"  # MLflow's view of training runs; it opens with that of language models
PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def server(need, tmp_path_factory):
    programs = need("postgresql", find_postgresql())
    need("chromium", shutil.which("chromium"))
    folder = tmp_path_factory.mktemp("server")
    (folder / "artifacts").mkdir()
    with postgresql(programs) as database, mlflow_server(database, folder / "artifacts") as address:
        yield address


@pytest.fixture(scope="module")
def finished(server, tmp_path_factory):
    """Three pipeline runs: the first champion, one that loses lesions, one that is better."""
    params = load_params(ROOT / "params.yaml", ROOT / "profiles" / "laptop.yaml")
    table, folder = good_table(), tmp_path_factory.mktemp("runs")
    tables = (table[table["method"] != "champion"], against(table, 0.8, missed=1.0), against(table, 0.5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TRACKING_URI, server)
        patch.setenv(EXPERIMENT, "review")
        return [
            finish_run(name, folder, rows, params, seed, patch)
            for seed, (name, rows) in enumerate(zip(NAMES, tables, strict=True), start=1)
        ]


@pytest.fixture(scope="module")
def page(server, finished):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1700, "height": 1400})
        page.set_default_timeout(PATIENCE_MS)
        page.route(
            lambda address: not address.startswith((server, "about:", "blob:", "data:")), lambda route: route.abort()
        )
        yield page
        browser.close()


@pytest.fixture(autouse=True)
def _reviewer(server, monkeypatch):
    """What a reviewer has in the environment."""
    monkeypatch.setenv(TRACKING_URI, server)
    monkeypatch.setenv(EXPERIMENT, "review")


def experiment(server: str) -> str:
    found = MlflowClient(server).get_experiment_by_name("review")
    assert found is not None
    return found.experiment_id


def visit(page: Page, address: str) -> None:
    """From an empty page: MLflow keeps what it showed when only the part behind the # changes."""
    page.goto("about:blank")
    page.goto(address)


def visible(page: Page, text: str | re.Pattern, exact: bool = False) -> None:
    expect(page.get_by_text(text, exact=exact).first).to_be_visible(timeout=PATIENCE_MS)


def test_three_runs_compared_say_which_is_better_and_where_it_is_worse(server, finished, page):
    runs = [run["parent"] for run in finished]
    visit(
        page, f"{server}/#/compare-runs?runs={quote(json.dumps(runs))}&experiments=%5B%22{experiment(server)}%22%5D"
    )
    visible(page, "Comparing 3 Runs")
    text = page.inner_text("body")
    assert all(name in text for name in NAMES)
    for key in (
        "0 gate/passed", "0 gate/rules failed", "1 image/PSNR dB", "2 lesions/missed per patient",
        "3 counts/bone bias percent", "4 worst patient/PSNR dB",
    ):  # fmt: skip
        assert key in text
    client = MlflowClient(server)
    metrics = [client.get_run(run).data.metrics for run in runs]
    assert [numbers["0 gate/passed"] for numbers in metrics] == [1, 0, 1]
    assert metrics[1]["1 image/PSNR dB"] > metrics[2]["1 image/PSNR dB"]  # prettier, and yet
    assert metrics[1]["2 lesions/missed per patient"] > 0
    for numbers in metrics:
        assert {"6 by age/2 to 5 years PSNR dB", "7 by view/anterior PSNR dB", "8 by scanner/camera 1 PSNR dB"} <= (
            numbers.keys()
        )
    assert metrics[2]["5 against the champion/PSNR dB gain"] == pytest.approx(0.5)


def test_the_same_pictures_of_the_same_patients_stand_side_by_side(server, finished, page):
    visit(page, f"{server}/#/experiments/{experiment(server)}/runs?compareRunsMode=CHART&{TRAINING}")
    heading = page.get_by_text("9 pictures", exact=True).first
    heading.scroll_into_view_if_needed(timeout=PATIENCE_MS)
    shown = (
        "wanted => [...document.images].filter(image => image.src.includes('pictures') "
        "&& image.complete && image.naturalWidth >= 100).length >= wanted"
    )
    page.wait_for_function(shown, arg=len(NAMES) * len(PICTURES), timeout=PATIENCE_MS)
    sources = page.evaluate("[...document.images].map(image => image.src)")
    for name, _ in PICTURES:  # one frame for each patient, and every run in it
        assert sum(name.removesuffix(".png") in source for source in sources) == len(NAMES)


def test_the_table_of_patients_opens_for_all_runs(server, finished, page):
    visit(page, f"{server}/#/experiments/{experiment(server)}/runs?compareRunsMode=ARTIFACT&{TRAINING}")
    visible(page, "patients.json")
    visible(page, "PSNR dB")
    visible(page, "P09", exact=True)


def test_the_models_page_shows_every_decision(server, finished, page):
    visit(page, f"{server}/#/models/scintiflow?{TRAINING}")
    page.get_by_text("Description", exact=True).first.click()
    visible(page, "10 of 59 rules did not pass")


def test_a_runs_page_shows_data_children_and_the_verdict(server, finished, page):
    visit(page, f"{server}/#/experiments/{experiment(server)}/runs/{finished[1]['parent']}?{TRAINING}")
    visible(page, re.compile(r"held-out patients \(12\)"))
    visible(page, "register", exact=True)
    visible(page, re.compile("this model may not become champion"))
    page.goto(
        f"{server}/#/experiments/{experiment(server)}/runs/{finished[1]['parent']}/artifacts/gate/decision.html"
    )
    frame = page.frame_locator("iframe").first
    expect(frame.get_by_text("Missed lesions: no worse than the champion").first).to_be_visible(timeout=PATIENCE_MS)


def test_a_versions_page_shows_card_aliases_and_lineage(server, finished, page):
    visit(page, f"{server}/#/models/scintiflow/versions/3?{TRAINING}")
    visible(page, re.compile("All .* rules passed"))
    text = page.inner_text("body")
    for words in ("Intended use", "Not for", "95% interval", "Tested on", "Scanners", "Limits", "Lineage"):
        assert words in text
    assert finished[2]["weights"] in text  # in the card and in the version's tags
    assert "Source Run" in text
    assert "teacher, Segment Anything" in text
    assert "training started from: the reference model" in " ".join(text.split())
    aliases = MlflowClient(server).get_registered_model("scintiflow").aliases
    assert {name: str(version) for name, version in aliases.items()} == {"champion": "3"}


def test_the_log_of_decisions_is_whole_on_a_server_too_and_outlives_a_run(server, finished):
    client = MlflowClient(server)
    client.delete_run(finished[1]["parent"])
    log, found = problems("scintiflow")
    client.restore_run(finished[1]["parent"])
    assert found == []
    assert [(entry.kind, entry.version) for entry in log.entries] == [
        ("promoted", "1"), ("refused", "2"), ("promoted", "3"),
    ]  # fmt: skip
    command = [sys.executable, "-m", "scintiflow.cli", "models", "history"]
    said = subprocess.run(
        command, env=os.environ | {TRACKING_URI: server}, capture_output=True, text=True, check=True
    )
    assert "3 decisions; the chain of hashes is whole" in said.stdout
