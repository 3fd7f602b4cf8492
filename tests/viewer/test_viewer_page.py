"""The review page: a plain browser shows rapid and restored side by side, asks nobody, and names no patient."""

import shutil
from datetime import datetime
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from scintiflow.dicom.derived import ModelIdentity, restored_object
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.whole_body import WholeBodyHeader, save_object, whole_body_object
from scintiflow.errors import ScintiflowError
from scintiflow.viewer.page import write_page
from scintiflow.viewer.pair import load_pair

K = 2.0
ROWS, COLUMNS = 320, 128
BLOB = (slice(150, 158), slice(60, 68))  # invented by the "model" in the anterior view
NAME, PATIENT = "Berra^James Yogi", "MRN4711123"


PLACES = "all => all.map(({ dataset }) => [dataset.scale, dataset.row, dataset.column].map(Number))"


def header(uid: str) -> WholeBodyHeader:
    return WholeBodyHeader(
        patient_id=PATIENT, patient_name=NAME, birth_date="20150304", sex="F", age="009Y", size_m=1.3, weight_kg=28.0,
        study_uid="1.2.826.0.1.1", series_uid="1.2.826.0.1.2", instance_uid=uid,
        frame_of_reference_uid="1.2.826.0.1.4",
        acquired=datetime(2024, 5, 6, 10, 11, 12), study_description="Bone scan of little James",
        series_description="WB", series_number=1, manufacturer="Siemens", model="Symbia", institution="St. Elsewhere",
        spacing_mm=2.4, velocity_mm_s=6.667, scan_length_mm=1024.0, frame_duration_ms=153600,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Path, Path]:
    """(restored, rapid) in one folder; the restored one is the truth but for one invented blob, and is marked."""
    folder = tmp_path_factory.mktemp("scans")
    y, x = np.mgrid[-1 : 1 : complex(ROWS), -1 : 1 : complex(COLUMNS)]
    mean = np.where((np.abs(x) < 0.5) & (np.abs(y) < 0.9), 3.0 + 2.0 * np.cos(20 * y), 0.02)
    mean = np.stack([mean, mean[:, ::-1]])
    counts = np.random.default_rng(3).poisson(mean).astype(np.uint16)
    rapid = folder / "rapid.dcm"
    save_object(rapid, whole_body_object(counts, header("1.2.826.0.1.3")))
    estimate = mean * K
    estimate[0][BLOB] += 40.0
    model, words = ModelIdentity("scintiflow", "7", "ab" * 32), f"Restored, k = {K:.3f}"
    restored = folder / "rapid.restored.dcm"
    save_object(restored, restored_object(rapid, estimate, model, words, ("a place shows more than was measured",)))
    return restored, rapid


def test_the_rapid_scan_is_found_beside_given_or_absent(pair, tmp_path):
    restored, rapid = pair
    shown = load_pair(restored)
    np.testing.assert_allclose(shown.rapid, read_scan(rapid).counts * K)
    assert shown.views == ("anterior", "posterior")
    assert shown.marked
    assert shown.scores[0][154, 64] > 6
    alone = shutil.copy(restored, tmp_path / "alone.dcm")
    assert load_pair(Path(alone)).rapid is None
    assert load_pair(Path(alone), rapid).rapid is not None
    assert load_pair(Path(alone), rapid.parent).rapid is not None


def test_another_scan_is_refused(pair, tmp_path):
    restored, rapid = pair
    save_object(tmp_path / "other.dcm", whole_body_object(read_scan(rapid).counts, header("1.2.826.0.1.99")))
    with pytest.raises(ScintiflowError, match="another scan"):
        load_pair(restored, tmp_path / "other.dcm")
    with pytest.raises(ScintiflowError, match="does not hold the rapid scan"):
        load_pair(restored, tmp_path)
    with pytest.raises(ScintiflowError, match="not a restored scan"):
        load_pair(rapid)


@pytest.fixture(scope="module")
def page_file(pair, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(load_pair(pair[0]), path)
    return path


def test_it_names_no_patient_and_asks_nobody(page_file):
    text = page_file.read_text(encoding="utf-8")
    for identity in (PATIENT, "Berra", "James", "20150304", "1.2.826", "Elsewhere", "2024"):
        assert identity not in text.split('id="scan"')[0]
    assert "default-src 'none'; style-src 'sha256-" in unescape(text)
    assert "http" not in text.split('id="scan"')[0].replace("http-equiv", "")


@pytest.fixture(scope="module")
def browser(need):
    program = need("chromium", shutil.which("chromium"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, page_file):
    """The page, opened as a file; an error in its console or a request fails the test."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(120_000)
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if request.url != page_file.as_uri() else None)
    page.goto(page_file.as_uri())
    yield page
    page.close()
    assert wrong == []


def grey_at_blob(page: Page, pane: int) -> list[int]:
    """Red, green, blue where the invented blob lies, in the pane of that number."""
    return page.evaluate(
        """([pane, row, column]) => {
            const canvas = document.querySelectorAll("canvas")[pane], { scale, ...middle } = canvas.dataset;
            const x = canvas.width / 2 + (column - middle.column) * scale;
            const y = canvas.height / 2 + (row - middle.row) * scale;
            return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data].slice(0, 3);
        }""",
        [pane, 154, 64],
    )


def test_rapid_and_restored_stand_side_by_side_in_one_window(page):
    expect(page.locator("canvas")).to_have_count(4)
    expect(page.locator("figcaption b").nth(0)).to_have_text("anterior, rapid × k")
    expect(page.locator("figcaption b").nth(1)).to_have_text("anterior, restored")
    expect(page.get_by_role("alert")).to_contain_text("DO NOT READ")
    assert grey_at_blob(page, 1)[0] < grey_at_blob(page, 0)[0]  # darker: more counts
    before = grey_at_blob(page, 0)[0]
    page.locator("#window").fill("100")  # black only at the largest count
    assert grey_at_blob(page, 0)[0] > before


def test_every_pane_bears_the_sides_of_the_patient(page):
    """The camera in front of the patient has the right side at its left; the one behind has not."""
    sides = page.locator("figure").evaluate_all("all => all.map(one => one.querySelectorAll('.side'))"
        ".map(found => [...found].map(mark => mark.textContent))")  # fmt: skip
    assert sides == [["R", "L"], ["R", "L"], ["L", "R"], ["L", "R"]]


def test_the_counts_say_where_the_picture_invents(page):
    page.get_by_label("unsupported by counts").check()
    red, _, blue = grey_at_blob(page, 1)
    assert red > blue + 50
    rapid = grey_at_blob(page, 0)
    assert rapid[0] == rapid[2]
    expect(page.locator("#legend")).to_be_visible()


def test_flicker_shows_one_then_the_other_in_the_same_place(page):
    page.emulate_media(reduced_motion="no-preference")
    page.get_by_role("button", name="Flicker").click()
    expect(page.locator("canvas")).to_have_count(2)
    for kind in ("rapid", "restored", "rapid"):
        page.wait_for_selector(f"canvas[data-shows={kind}]")
    page.keyboard.press("f")
    expect(page.locator("canvas")).to_have_count(4)


def test_zoom_moves_every_pane_together(page):
    canvases = page.locator("canvas")
    before = canvases.evaluate_all(PLACES)
    box = canvases.nth(0).bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.wheel(0, -800)
    page.wait_for_function("before => document.querySelector('canvas').dataset.scale > before", arg=before[0][0])
    after = canvases.evaluate_all(PLACES)
    assert len(set(map(tuple, after))) == 1
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.up()
    assert canvases.evaluate_all(PLACES)[3][1] < after[3][1]  # dragged down: rows further up are in the middle
    page.get_by_role("button", name="Fit").click()
    assert canvases.evaluate_all(PLACES) == before


def test_a_phone_shows_one_view_at_a_time(browser, page_file):
    phone = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    phone.goto(page_file.as_uri())
    expect(phone.locator("canvas")).to_have_count(2)
    phone.get_by_role("button", name="posterior").click()
    expect(phone.locator("figcaption b").first).to_contain_text("posterior")
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
    phone.close()
