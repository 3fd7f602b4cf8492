"""Restoring a folder: rapid scans come out as derived objects, everything else is refused and named."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from scintiflow.dicom.derived import restored_counts
from scintiflow.dicom.reading import read_scan
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_tree
from scintiflow.params import PhantomParams, changed, load_params
from scintiflow.phantom.cohort import simulate_cohort
from scintiflow.registry.models import RegisteredModel
from scintiflow.restoration.cascade import Cascade
from scintiflow.restoration.restorer import checkpoint_sha256, save_cascade
from scintiflow.stages import restoring

PROTOCOL = load_params(Path(__file__).parents[2] / "params.yaml").ingest.protocol


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hospital")
    child = PhantomParams(cohort="one", children=1, seed=4, youngest_years=3.0, oldest_years=4.0, lesions_at_most=0)
    velocities = PROTOCOL.standard_velocity_mm_s, PROTOCOL.rapid_velocity_mm_s
    simulate_cohort(child, *velocities, folder / "export", folder / "truth", workers=1)
    (folder / "export" / "notes.txt").write_text("no scan")
    return folder / "export"


@pytest.fixture(autouse=True)
def scaling_model(monkeypatch):
    """A registered model that multiplies by k."""
    version = RegisteredModel("toy", "3", "champion", "run", "a" * 64)

    def load(name: str, alias: str):
        assert (name, alias) == ("toy", "champion")
        return (lambda rapid, count_ratio: rapid.astype(np.float32) * np.float32(count_ratio)), version

    monkeypatch.setattr(restoring, "load_by_alias", load)


def restore(source: Path, out: Path) -> list[restoring.RestoredFile]:
    return list(restoring.restore_files(restoring.scan_files(source), source, out, "toy@champion", PROTOCOL))


def test_the_rapid_scan_is_restored_and_the_rest_refused(export, tmp_path):
    results = restore(export, tmp_path / "out")
    written = [result for result in results if result.written]
    assert len(written) == 1
    codes = sorted(result.refused.split(":")[0] for result in results if result.refused)
    assert codes == ["NOT_DICOM", "NOT_DICOM", "VELOCITY_OUT_OF_PROTOCOL"]
    rapid = read_scan(written[0].source)
    dataset = pydicom.dcmread(written[0].written)
    k = rapid.velocity_mm_s / PROTOCOL.standard_velocity_mm_s
    np.testing.assert_allclose(restored_counts(dataset), rapid.counts * k, atol=0.002)
    assert dataset.ImageType[0] == "DERIVED"
    assert dataset.StudyInstanceUID == rapid.study_uid
    assert dataset.SOPInstanceUID != rapid.instance_uid


def test_the_same_scan_gives_the_same_bytes(export, tmp_path):
    for name in ("one", "two"):
        restore(export, tmp_path / name)
    assert sha256_tree(tmp_path / "one") == sha256_tree(tmp_path / "two")


def test_a_restored_scan_is_not_restored_again(export, tmp_path):
    restore(export, tmp_path / "out")
    again = restore(tmp_path / "out", tmp_path / "again")
    assert [result.written for result in again] == [None]
    assert again[0].refused.startswith("DERIVED_INPUT")


def test_words_name_no_path_unless_wanted(export, tmp_path):
    results = restore(export, tmp_path / "out")
    quiet = "\n".join(restoring.restoring_lines(results, show_paths=False))
    assert "1 restored" in quiet
    assert "notes.txt" not in quiet
    assert "notes.txt" in "\n".join(restoring.restoring_lines(results, show_paths=True))


@pytest.mark.parametrize("text", ["champion", "@champion", "toy@", ""])
def test_a_model_is_named_by_alias(text):
    with pytest.raises(ScintiflowError, match="NAME@ALIAS"):
        restoring.parse_model(text)


@pytest.fixture
def reference_folder(tmp_path, monkeypatch):
    """A reference model of a few untrained weights: it restores like its Gaussian base."""
    recipe = changed(
        load_params(Path(__file__).parents[2] / "params.yaml").train_cascade,
        first={"width": 4, "blocks": [1]},
        second={"width": 4, "blocks": [1]},
    )
    folder = tmp_path / "reference"
    folder.mkdir()
    save_cascade(folder, Cascade(recipe), recipe, "none", accelerations=[1.3, 2.5])
    monkeypatch.setattr(restoring, "REFERENCE_FOLDER", folder)
    return folder


def test_the_reference_model_restores_every_speed_that_it_was_trained_for(export, tmp_path, reference_folder):
    files = restoring.scan_files(export)
    velocities = {}
    for factor in (1.5, 3.0):  # the rapid scan is so many times as fast as the standard that is asked for
        protocol = changed(PROTOCOL, standard_velocity_mm_s=PROTOCOL.rapid_velocity_mm_s / factor)
        results = restoring.restore_files(files, export, tmp_path / str(factor), "reference", protocol)
        written = [result for result in results if result.written]
        velocities[factor] = [read_scan(result.source).velocity_mm_s for result in written]
    rapid, standard = PROTOCOL.rapid_velocity_mm_s, PROTOCOL.standard_velocity_mm_s
    assert velocities[1.5] == [pytest.approx(rapid, rel=0.05)]  # the other scan is slower than the standard
    assert velocities[3.0] == [pytest.approx(standard, rel=0.05)]  # 3 is more than the model knows, 1.5 is not
    made_by = pydicom.dcmread(written[0].written).ImageComments
    assert "scintiflow-reference" in made_by
    assert checkpoint_sha256(reference_folder)[:12] in made_by


def test_an_absent_reference_model_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(restoring, "REFERENCE_FOLDER", tmp_path)
    with pytest.raises(ScintiflowError, match="is not a trained cascade"):
        restoring.open_model("reference")
