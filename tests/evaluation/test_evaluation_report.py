"""The stage from folders to page: complete, self-contained, inert, repeatable."""

import base64
import io
import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

import scintiflow.stages.champion_restorer as champion_restorer
import scintiflow.stages.evaluate as stage
from scintiflow.counts import counts_sha256
from scintiflow.evaluation.baselines import Gaussian
from scintiflow.evaluation.charts import nice_ticks
from scintiflow.evaluation.report import content_of_evaluation, pictures_of, render_report
from scintiflow.evaluation.report_fidelity import lesions_by_strength
from scintiflow.files import sha256_file, write_json
from scintiflow.tracking import SilentTracker

PATIENCE_MS = 120_000


class Evaluated(NamedTuple):
    """Two runs on the same inputs; `restored`: how often both together restored each rapid scan."""

    folder: Path
    numbers: list[dict[str, float]]
    restored: Counter[str]


@pytest.fixture(scope="module")
def evaluated(cohort, params, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage")
    patch, restored = pytest.MonkeyPatch(), Counter()

    def restore(rapid: np.ndarray, k: float) -> np.ndarray:
        restored[counts_sha256(rapid)] += 1
        return Gaussian(1.5)(rapid, k)

    patch.setattr(stage, "load_restorer", lambda path: restore)
    patch.setattr(stage, "checkpoint_sha256", lambda path: "c" * 64)
    patch.setattr(stage, "origin_of", lambda path: "nothing: random weights")
    patch.setattr(champion_restorer, "checkpoint_sha256", lambda path: "c" * 64)
    patch.setattr(champion_restorer, "load_restorer", lambda path: lambda rapid, k: Gaussian(1.0)(rapid, k))
    champion = {"name": "scintiflow", "version": "4", "checkpoint_sha256": "d" * 64}
    write_json(folder / "champion" / "champion.json", {"champion": champion})
    write_json(folder / "priors" / "priors.json", {"sam": {"provenance": "small SAM, no pretrained weights <b>"}})
    (folder / "cascade").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "cascade" / "curves.png")
    inputs = stage.Inputs(
        dataset=cohort.dataset.folder, sam=folder / "sam", priors=folder / "priors", cascade=folder / "cascade",
        champion=folder / "champion", truth=cohort.truth,
    )  # fmt: skip
    quick = params.model_copy(update={"bm3d": False})
    numbers = [stage.run(quick, inputs, stage.Outputs(folder / name), SilentTracker()) for name in ("one", "two")]
    patch.undo()
    return Evaluated(folder, numbers, restored)


def test_every_held_out_scan_is_restored_once(evaluated, cohort):
    held_out = cohort.dataset.table.query("split != 'train'")
    assert evaluated.restored == dict.fromkeys(held_out["rapid_counts_sha256"], 2), "two runs"


def test_the_folder_is_complete_and_repeatable(evaluated):
    folder, (numbers, again) = evaluated.folder, evaluated.numbers
    names = {path.relative_to(folder / "one").as_posix() for path in (folder / "one").rglob("*") if path.is_file()}
    assert names == {
        "patients.parquet", "patients.csv", "lesions.parquet", "lesions.csv", "noise.csv", "edges.csv",
        "summary.json", "timings.json", "report.html", "curves.png", "calibration.json", "training_cohort.json",
        "pictures/captions.json", "pictures/patient-1.png",
        "pictures/worst-1.png", "pictures/worst-3.png",  # the second worst is patient-1
    }  # fmt: skip
    assert numbers == again
    assert numbers["psnr_truth_restored"] > numbers["psnr_truth_identity"] + 5
    for name in names - {"timings.json", "report.html"}:
        assert sha256_file(folder / "one" / name) == sha256_file(folder / "two" / name), name


def test_the_worst_scans_are_drawn_and_shown_first(evaluated):
    folder = evaluated.folder / "one"
    captions = json.loads((folder / "pictures" / "captions.json").read_text())
    assert {entry["name"] for entry in captions if entry["in_every_run"]} == {"patient-1.png"}
    table = pd.read_parquet(folder / "patients.parquet").groupby(["method", "study"])["psnr_truth"].mean()
    gains = (table["restored"] - table["nlm"]).sort_values()
    ranked = {entry["worst"]: entry["gain_db"] for entry in captions if entry["worst"]}
    assert [ranked[rank] for rank in sorted(ranked)] == pytest.approx(list(gains[: len(ranked)]))
    titles = [picture.title.split(":")[0] for picture in pictures_of(folder / "pictures")]
    assert titles[: len(ranked)] == [f"Worst {rank}" for rank in sorted(ranked)]


def test_panels_lie_where_the_caption_file_says(evaluated):
    """The same view of two panels has the same size; each holds the child and nothing of its neighbour."""
    folder = evaluated.folder / "one" / "pictures"
    for entry in json.loads((folder / "captions.json").read_text()):
        picture = np.asarray(Image.open(folder / entry["name"]).convert("RGB"))
        assert [panel["title"] for panel in entry["panels"]][:3] == ["rapid × k", "restored", "standard scan"]
        for view in range(2):
            sizes = {tuple(panel["views"][view][2:]) for panel in entry["panels"]}
            assert len(sizes) == 1
        for panel in entry["panels"]:
            for left, top, width, height in panel["views"]:
                edges = picture[top : top + height, left - 2], picture[top : top + height, left + width + 1]
                assert all((edge == 255).all() for edge in edges)
                assert (picture[top : top + height, left : left + width] < 200).any()


def test_the_gate_can_read_the_summary(evaluated):
    gate = json.loads((evaluated.folder / "one" / "summary.json").read_text())["gate"]
    assert gate["patients"] == 4
    assert gate["psnr_metric"] == "psnr_truth"
    for name in (
        "psnr_gain_over_identity_db",
        "psnr_gain_over_gaussian_db",
        "count_bias",
        "bone_bias",
        "lesion_contrast",
    ):
        assert gate[name]["low"] <= gate[name]["mean"] <= gate[name]["high"]


def test_the_champion_is_rescored_on_the_same_scans(evaluated):
    folder = evaluated.folder
    table = pd.read_parquet(folder / "one" / "patients.parquet")
    scans = {
        method: set(map(tuple, table.loc[table["method"] == method, ["patient", "study", "view"]].to_numpy()))
        for method in ("restored", "champion")
    }
    assert scans["champion"] == scans["restored"] != set()
    about = json.loads((folder / "one" / "summary.json").read_text())["about"]["champion"]
    assert about == {
        "name": "scintiflow",
        "version": "4",
        "checkpoint_sha256": "d" * 64,
        "same_model": False,
        "unreadable": "",
    }


def test_nobody_or_the_same_weights_give_no_rows_of_a_champion(tmp_path, monkeypatch):
    monkeypatch.setattr(champion_restorer, "checkpoint_sha256", lambda path: "d" * 64)
    write_json(tmp_path / "none" / "champion.json", {"champion": None})
    assert champion_restorer.champion_of(tmp_path / "none", tmp_path) == (None, {})
    same = {"name": "scintiflow", "version": "4", "checkpoint_sha256": "d" * 64}
    write_json(tmp_path / "same" / "champion.json", {"champion": same})
    assert champion_restorer.champion_of(tmp_path / "same", tmp_path) == (
        same | {"same_model": True, "unreadable": ""},
        {},
    )


def test_a_champion_that_this_code_cannot_open_is_named_and_not_scored(tmp_path, monkeypatch):
    monkeypatch.setattr(champion_restorer, "checkpoint_sha256", lambda path: "e" * 64)
    old = {"name": "scintiflow", "version": "4", "checkpoint_sha256": "d" * 64}
    write_json(tmp_path / "champion.json", {"champion": old})
    about, restorers = champion_restorer.champion_of(tmp_path, tmp_path)
    assert restorers == {}
    assert "cannot open" in about["unreadable"]


class Page(HTMLParser):
    void = frozenset({"meta", "img", "input", "line", "circle"})  # HTMLParser leaves what is in a script alone

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.pictures, self.ids = [], [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.links += [values[name] for name in ("href", "src") if name in values]
        self.ids.add(values.get("id"))
        if tag == "img":
            self.pictures.append(values["src"])
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag


def test_the_page_is_self_contained_and_well_formed(evaluated):
    text = (evaluated.folder / "one" / "report.html").read_text()
    page = Page(text)
    assert not page.open
    assert len(text) < 8e6
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert not re.search(r"https?://|@import|url\(", text)
    assert "default-src 'none'" in text
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
    assert len(page.pictures) == 4  # the one in every run, the two worst of the others, the training curves
    for picture in page.pictures:
        Image.open(io.BytesIO(base64.b64decode(picture.split(",", 1)[1]))).verify()


def test_on_a_phone_the_page_fits_and_two_panels_are_laid_over_one_another(evaluated, need, tmp_path):
    need("chromium", shutil.which("chromium"))
    content = content_of_evaluation(evaluated.folder / "one")
    render_report(content, tmp_path / "report.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.set_default_timeout(PATIENCE_MS)
        page.clock.install()
        objections: list[str] = []
        page.on("console", lambda message: objections.append(message.text))
        page.on("pageerror", lambda error: objections.append(str(error)))
        page.goto((tmp_path / "report.html").as_uri())
        page.locator(".viewer canvas").first.scroll_into_view_if_needed()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.locator(".viewer").count() == len(content.pictures)

        viewer = page.locator(".viewer").first
        canvas, border, button = (viewer.locator(name) for name in ("canvas", "input", "button"))
        assert canvas.get_attribute("aria-label") == "rapid × k | restored"
        before, box = canvas.evaluate("it => it.toDataURL()"), canvas.bounding_box()
        canvas.click(position={"x": box["width"] * 0.1, "y": 40})
        assert int(border.input_value()) < 400
        assert canvas.evaluate("it => it.toDataURL()") != before
        button.click()
        shown = [button.inner_text()]
        page.clock.run_for(700)
        shown.append(button.inner_text())
        assert shown == ["Stop (rapid × k)", "Stop (restored)"]
        page.emulate_media(media="print")
        assert not canvas.is_visible()
        assert page.locator("figure img").first.is_visible()
        browser.close()
    assert objections == []


def test_the_page_says_what_is_missing_and_escapes_what_it_is_given(evaluated):
    text = (evaluated.folder / "one" / "report.html").read_text()
    assert "LPIPS: not available" in text
    assert "no Inception weights given" in text
    assert "no gate decision yet" in text
    assert "no pretrained weights &lt;b&gt;" in text
    assert "no pretrained weights <b>" not in text


@pytest.mark.parametrize("passed", [True, False])
def test_a_decision_is_shown_with_every_rule(evaluated, tmp_path, passed):
    verdicts = [
        {"rule": "Bias <i>", "asked": "within 3.0% of zero", "found": -0.0123, "passed": True, "note": ""},
        {"rule": "Contrast", "asked": "at least 0.7", "found": None, "passed": passed, "note": "none known"},
    ]
    content = content_of_evaluation(evaluated.folder / "one", {"passed": passed, "verdicts": verdicts})
    render_report(content, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert ("gate passed" if passed else "gate not passed") in text
    assert "Bias &lt;i&gt;" in text
    assert "−1.23%" in text
    assert "none known" in text


def test_the_restored_value_in_the_page_is_the_table_mean(evaluated):
    table = pd.read_parquet(evaluated.folder / "one" / "patients.parquet")
    value = table.loc[table["method"] == "restored", "psnr_truth"].mean()
    row = (evaluated.folder / "one" / "report.html").read_text().split('<tr class="ours">', 1)[1].split("</tr>", 1)[0]
    assert f"{value:.2f}" in row


def test_cells_are_inert():
    table = pd.DataFrame({"patient": ["=1+1", "@x", "plain"], "psnr": [-1.0, 2.0, 3.0]})
    safe = stage.inert(table)
    assert list(safe["patient"]) == ["'=1+1", "'@x", "plain"]
    assert list(safe["psnr"]) == [-1.0, 2.0, 3.0]


@pytest.mark.parametrize(("low", "high"), [(0, 0), (-0.3, 11.4), (0, 0.02), (-5, 0), (0, 300)])
def test_ticks_enclose_the_data(low, high):
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 2 <= len(ticks) <= 9
    assert 0 in ticks


def test_the_page_answers_a_physicist(evaluated):
    folder = evaluated.folder / "one"
    text = (folder / "report.html").read_text()
    lesions = pd.read_parquet(folder / "lesions.parquet")
    worst = lesions[lesions["method"] == "restored"].sort_values("recovery").iloc[0]
    listed = text.split("Every known lesion", 1)[1].split("</table>", 1)[0]
    assert listed.count("<tr><td>") == (lesions["method"] == "restored").sum()
    assert f">{worst['recovery']:.2f}" in listed.split("<tr><td>", 2)[1]  # the worst one stands first
    groups = text.split("Faint, clear and strong lesions", 1)[1].split("</table>", 1)[0]
    counted = [int(row.split("</td><td>")[1].split("<")[0]) for row in groups.split("<tr><td>")[1:]]
    assert sum(counted) == (lesions["method"] == "restored").sum()
    for heading in (
        "Worst patients",
        "Consistency with the measured counts",
        "Noise power spectrum",
        "Edge response",
    ):
        assert heading in text
    shown = set(pd.read_csv(folder / "noise.csv")["method"])
    assert len(shown) >= 6
    assert [chart.count("<circle") for chart in text.split("<svg")].count(4 + 2 * 4 + 4) == 2  # ages, views, scanner
    assert text.count("<polyline") == 2 * len(shown)  # two charts, every method and both references
    assert "Plain U-Net: not available" in text
    assert "Fréchet distance, SAM encoder" in text
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["about"]["not_available"].keys() >= {"lpips", "fid", "kid", "sam_frechet", "unet"}
    assert summary["thresholds"] == {"missed_below": 0.5, "invented_above": 0.3, "unsupported_beyond": 4.0}


def test_lesions_are_grouped_by_their_true_contrast():
    lesions = pd.DataFrame(
        [("restored", 0.2, 0.3, True), ("restored", 0.49, 0.9, False), ("restored", 1.0, 0.98, False),
         ("bm3d", 0.2, 0.1, True), ("bm3d", 0.49, 0.3, True), ("bm3d", 1.0, 0.8, False)],
        columns=["method", "true_contrast", "recovery", "missed"],
    )  # fmt: skip
    found = lesions_by_strength(lesions)
    assert found["methods"] == ["restored", "bm3d"]
    assert found["rows"] == [
        ("0 to 50", 2, [("0.60", 1), ("0.20", 2)]),
        ("over 100", 1, [("0.98", 0), ("0.80", 0)]),
    ]
    assert lesions_by_strength(lesions[:0]) == {"methods": [], "rows": []}
