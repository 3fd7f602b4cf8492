"""`scintiflow cohort inspect`: what the product sees, in words, and nothing that names the patient."""

import warnings
from pathlib import Path

import pytest
from bad_inputs import CASES
from dicom_samples import rapid_object, save_child, standard_object
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from scintiflow.cli import app
from scintiflow.cohorts.inspect import inspect_all, inspect_file
from scintiflow.dicom.whole_body import save_object


def shown(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["cohort", "inspect", *map(str, arguments)], env={"COLUMNS": "250"})
    assert result.exit_code == 0, result.output
    return result.output


def test_a_good_scan_in_words(tmp_path):
    save_object(tmp_path / "scan.dcm", rapid_object())
    seen = inspect_file(tmp_path / "scan.dcm")
    assert seen.facts == {
        "vendor": "Siemens Symbia",
        "views": "anterior, posterior",
        "velocity": "6.667 mm/s = 40.0 cm/min, read",
        "counts": "12,400, 13,005 (largest 15)",
        "matrix": "2 x 256 x 64",
        "spacing": "4.8 mm",
        "age": "9.2 years",
        "isotope": "technetium-99m",
    }
    assert (seen.code, seen.objections, seen.warnings) == ("", (), ())


def test_all_objections_are_named_not_only_the_first(tmp_path):
    dataset = standard_object()
    dataset.ScanVelocity, dataset.PixelSpacing = "20", ["4.8", "2.4"]
    dataset.BurnedInAnnotation = "YES"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_object(tmp_path / "scan.dcm", dataset)
    seen = inspect_file(tmp_path / "scan.dcm")
    assert seen.code == "BURNED_IN"
    assert set(seen.objections) == {"BURNED_IN", "VELOCITY_UNITS", "GEOMETRY"}
    output = shown(tmp_path / "scan.dcm")
    for sentence in ("Divide the value by six", "not square", "burned into its pixels"):
        assert sentence in output


def test_inferred_velocity_and_warnings_are_explained(tmp_path):
    dataset = standard_object()
    dataset.ScanVelocity = ""
    save_object(tmp_path / "scan.dcm", dataset)
    output = shown(tmp_path / "scan.dcm")
    assert "inferred from length and duration" in output
    assert "VELOCITY_INFERRED: velocity from scan length and duration." in output


def test_the_real_scan():
    seen = inspect_file(Path(get_testdata_file("JPEG-LL.dcm")))
    assert seen.facts["vendor"] == "GE Millennium"
    assert seen.facts["velocity"] == "1.672 mm/s = 10.0 cm/min, read"
    assert seen.facts["counts"] == "3,596,452 (largest 278)"
    assert seen.facts["isotope"] == "not named"
    assert seen.code == ""


def test_a_folder_shows_no_names_and_no_paths_unless_asked(tmp_path):
    folder = tmp_path / "Berra James"
    save_child(folder, 0)
    (folder / "list.csv").write_text("Berra;James")
    output = shown(tmp_path)
    assert output.count("can be used") == 2
    assert "NOT_DICOM" in output
    for name in ("Berra", "MRN4711", "20150304", "St. Elsewhere"):
        assert name not in output
    assert "child0-rapid.dcm" in shown(tmp_path, "--show-paths")


@pytest.mark.parametrize("case", CASES[::6], ids=lambda case: case.name)
def test_nothing_in_a_file_stops_it(tmp_path, case):
    case.write(tmp_path, 7)
    for path in sorted(tmp_path.iterdir()):
        seen = inspect_file(path)
        assert seen.facts or seen.code


def test_an_empty_folder(tmp_path):
    assert inspect_all(tmp_path, 2) == []
