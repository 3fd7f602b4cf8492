"""The cohort as files: the same bytes for any number of workers, whole or nothing, valid DICOM."""

import hashlib
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest

from scintiflow.errors import ScintiflowError
from scintiflow.params import PhantomParams
from scintiflow.phantom.child import TC99M_HALF_LIFE_S
from scintiflow.phantom.cohort import MADE_BY, simulate_cohort
from scintiflow.phantom.export import age_string
from scintiflow.phantom.panel import draw_panel
from scintiflow.phantom.truth import find_truth
from scintiflow.structures import BODY

STANDARD, RAPID = 3.333, 6.667


def recipe(children: int, **changes) -> PhantomParams:
    values = {"cohort": "little", "children": children, "seed": 3, "youngest_years": 0.5, "oldest_years": 8.0}
    return PhantomParams(**{**values, "lesions_at_most": 3, **changes})


def files_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MADE_BY
    }


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("phantom")
    summary = simulate_cohort(recipe(3), STANDARD, RAPID, root / "export", root / "truth", workers=2)
    assert summary.made
    return root


def objects(root: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted((root / "export").rglob("*.dcm"))]


def test_bytes_do_not_depend_on_workers_and_a_larger_cohort_contains_the_smaller(cohort, tmp_path):
    simulate_cohort(recipe(2, cohort="other"), STANDARD, RAPID, tmp_path / "export", tmp_path / "truth", workers=1)
    large, small = files_of(cohort / "export"), files_of(tmp_path / "export")
    assert len(small) == 4
    assert len(large) == 6
    assert small.items() <= large.items()
    large_truth, small_truth = files_of(cohort / "truth/little"), files_of(tmp_path / "truth/other")
    assert len(small_truth) == 2
    assert small_truth.items() <= large_truth.items()


def test_doing_it_again_does_nothing_and_says_so(cohort):
    before = {path: path.stat().st_mtime_ns for path in cohort.rglob("*")}
    summary = simulate_cohort(recipe(3), STANDARD, RAPID, cohort / "export", cohort / "truth")
    assert not summary.made
    assert "nothing to do" in summary.sentence()
    assert {path: path.stat().st_mtime_ns for path in cohort.rglob("*")} == before


def test_a_changed_recipe_or_a_missing_file_is_made_anew(tmp_path):
    places = {"export": tmp_path / "export", "truth": tmp_path / "truth"}
    assert simulate_cohort(recipe(1), STANDARD, RAPID, **places).made
    first = files_of(tmp_path)
    assert simulate_cohort(recipe(1, seed=4), STANDARD, RAPID, **places).made
    assert not first.keys() & files_of(tmp_path).keys()
    next((tmp_path / "truth").rglob("*.npz")).unlink()
    assert simulate_cohort(recipe(1, seed=3), STANDARD, RAPID, **places).made
    assert files_of(tmp_path) == first


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "thesis.txt").write_text("years of work")
    with pytest.raises(ScintiflowError, match=r"no simulated cohort"):
        simulate_cohort(recipe(1), STANDARD, RAPID, tmp_path / "export", tmp_path / "truth")
    (tmp_path / "truth" / "little").mkdir(parents=True)
    (tmp_path / "truth" / "little" / "notes.md").write_text("more work")
    with pytest.raises(ScintiflowError, match="more than the truth"):
        simulate_cohort(recipe(1), STANDARD, RAPID, tmp_path / "elsewhere", tmp_path / "truth")
    assert (tmp_path / "export" / "thesis.txt").read_text() == "years of work"
    assert not (tmp_path / "elsewhere").exists()


def test_nothing_half_written_after_a_failure(tmp_path, monkeypatch):
    import scintiflow.phantom.cohort as module

    def disk_full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(module, "save_truth", disk_full)
    with pytest.raises(OSError, match="no space"):
        simulate_cohort(recipe(1), STANDARD, RAPID, tmp_path / "export", tmp_path / "truth", workers=1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not (tmp_path / "export").exists()


def test_dciodvfy_finds_no_error(cohort):
    validator = Path(sys.executable).parent / "dciodvfy"
    for path in (cohort / "export").rglob("*.dcm"):
        report = subprocess.run([validator, path], capture_output=True, text=True, check=False)
        said = report.stdout + report.stderr
        assert "NMImage" in said, said
        assert not [line for line in said.splitlines() if line.startswith("Error")], said


def test_headers_say_what_was_acquired(cohort):
    for image in objects(cohort):
        counts = image.pixel_array
        assert counts.shape == (2, 1024, 256)
        assert image.Modality == "NM"
        assert int(image.CountsAccumulated) == counts.sum(dtype=np.int64)
        views = [item.ViewCodeSequence[0].CodeMeaning for item in image.DetectorInformationSequence]
        assert "Anterior" in views[0]
        assert "Posterior" in views[1]
        velocity, duration_s = float(image.ScanVelocity), int(image.ActualFrameDuration) / 1000
        assert velocity in (STANDARD, RAPID)
        assert int(image.ScanLength) / duration_s == pytest.approx(velocity, rel=1e-3)
        assert int(image.ScanLength) == pytest.approx(1024 * 2.26, abs=1)
        assert str(image.PatientName).startswith("SIMULATED^CHILD")
        assert image.InstitutionName
        born = datetime.strptime(image.PatientBirthDate, "%Y%m%d")
        age = (datetime.strptime(image.StudyDate, "%Y%m%d") - born).days / 365.25
        assert re.fullmatch(r"\d{3}[MY]", image.PatientAge)
        stated = int(image.PatientAge[:3]) / (12 if image.PatientAge[3] == "M" else 1)
        assert stated <= age + 0.01 < stated + 1.02
        assert 0.55 < float(image.PatientSize) < 1.5
        assert 4 < float(image.PatientWeight) < 45


def test_uids_are_unique_where_they_must_be(cohort):
    images = objects(cohort)
    assert len({image.SOPInstanceUID for image in images}) == len(images) == 6
    assert len({image.SeriesInstanceUID for image in images}) == 6
    assert len({image.StudyInstanceUID for image in images}) == 3
    assert len({image.PatientID for image in images}) == 3
    assert all(image.SOPInstanceUID.startswith("2.25.") and image.SOPInstanceUID.is_valid for image in images)


def test_truth_is_found_by_the_pixels_and_times_give_the_count_ratio(cohort):
    studies: dict[str, list[pydicom.Dataset]] = {}
    for image in objects(cohort):
        studies.setdefault(image.StudyInstanceUID, []).append(image)
    for pair in studies.values():
        rapid, standard = sorted(pair, key=lambda image: -float(image.ScanVelocity))
        pixels = standard.pixel_array.astype("<u2")
        truth = find_truth(cohort / "truth", hashlib.sha256(pixels.tobytes()).hexdigest())
        assert truth is not None
        assert find_truth(cohort / "truth", hashlib.sha256(rapid.pixel_array.tobytes()).hexdigest()) is None
        started = [
            datetime.strptime(f"{image.AcquisitionDate}{image.AcquisitionTime[:6]}", "%Y%m%d%H%M%S")
            for image in (rapid, standard)
        ]
        decay = 0.5 ** ((started[1] - started[0]).total_seconds() / TC99M_HALF_LIFE_S)
        expected = RAPID / STANDARD * decay
        measured = truth.mean_standard.sum(dtype=np.float64) / truth.mean_rapid.sum(dtype=np.float64)
        assert measured == pytest.approx(expected, rel=0.005)
        assert truth.masks_standard[BODY].any()


def test_age_is_stated_in_months_below_two_years():
    assert age_string(0.5) == "006M"
    assert age_string(1.99) == "023M"
    assert age_string(2.0) == "002Y"
    assert age_string(15.99) == "015Y"


def test_panel_shows_six_ages(tmp_path):
    from matplotlib.image import imread

    draw_panel(tmp_path / "panel.png", seed=1)
    picture = imread(tmp_path / "panel.png")[..., 0]
    columns = np.array_split(picture, 6, axis=1)
    assert all(column.min() < 0.1 for column in columns)  # ink for every age
    heights = [np.ptp(np.flatnonzero((column[len(column) // 2 :] < 0.6).sum(axis=1) > 3)) for column in columns]
    assert heights[0] < heights[-1]
