"""Restoring a folder: what can be restored is, every other file is named with its reason, and nothing is lost."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from scintiflow.cohorts.ledger import LEDGER, Entry, Ledger
from scintiflow.dicom.derived import ModelIdentity
from scintiflow.evaluation.agreement import Agreement, Calibration
from scintiflow.files import sha256_file, sha256_tree, write_json
from scintiflow.params import load_params
from scintiflow.stages import restoring_folders
from scintiflow.stages.restoring import OpenModel
from scintiflow.stages.restoring_folders import Wish, exit_code, restore_files, restoring_lines, scan_files, targets

ROOT = Path(__file__).parents[2]
WISH = Wish(load_params(ROOT / "params.yaml").ingest.protocol)


def scaled(rapid: np.ndarray, count_ratio: float) -> np.ndarray:
    return rapid.astype(np.float32) * np.float32(count_ratio)


def broken(rapid: np.ndarray, count_ratio: float) -> np.ndarray:
    raise MemoryError


GENEROUS = Calibration(Agreement(9.0, 0.5, 99.0, 99.0), 1, "a child", 0.95, Agreement(0.0, 0.0, 0.0, 0.0), "a" * 64)
TOY = OpenModel(scaled, ModelIdentity("toy", "3", "a" * 64), None, GENEROUS)


@pytest.fixture
def model(monkeypatch):
    """Say which model restores."""

    def use(opened: OpenModel) -> None:
        monkeypatch.setattr(restoring_folders, "open_model", lambda text, cores: opened)

    use(TOY)
    return use


@pytest.fixture
def export(scans, tmp_path) -> Path:
    """A hospital's folder: the rapid scan, the standard one, half a scan, and a file that is none."""
    folder = tmp_path / "export"
    folder.mkdir()
    for name, path in zip(("rapid.dcm", "standard.dcm"), scans, strict=True):
        shutil.copy(path, folder / name)
    content = scans[0].read_bytes()
    (folder / "half.dcm").write_bytes(content[: len(content) // 2])
    (folder / "notes.txt").write_text("no scan")
    return folder


def restored(source: Path, out: Path, **changes) -> list[restoring_folders.RestoredFile]:
    return restore_files(source, out, "toy@champion", replace(WISH, **changes))


def test_the_rapid_scan_is_restored_and_the_rest_refused(export, tmp_path, model):
    results = restored(export, tmp_path / "out")
    assert [result.written for result in results if result.written] == [tmp_path / "out" / "rapid.restored.dcm"]
    codes = {result.source.name: result.refused.split(":")[0] for result in results if result.refused}
    assert codes == {
        "half.dcm": "TRUNCATED", "notes.txt": "NOT_DICOM", "standard.dcm": "VELOCITY_OUT_OF_PROTOCOL",
    }  # fmt: skip
    assert exit_code(results) == 0
    assert "40 cm/min" in next(result.refused for result in results if result.source.name == "standard.dcm")


def test_a_velocity_is_stated_for_the_scans_that_give_none_and_no_others(export, tmp_path, model):
    silent = pydicom.dcmread(export / "rapid.dcm")
    silent.ScanVelocity = silent.ScanLength = ""
    silent.save_as(export / "silent.dcm")
    asked = next(result for result in restored(export, tmp_path / "one") if result.source.name == "silent.dcm")
    assert asked.refused.startswith("VELOCITY_UNKNOWN")
    assert "--velocity-cm-min" in asked.refused
    results = restored(export, tmp_path / "two", stated_velocity_mm_s=6.667)
    assert {result.source.name: result.stated for result in results if result.written} == {
        "rapid.dcm": False, "silent.dcm": True,
    }  # fmt: skip
    assert any(result.refused.startswith("VELOCITY_STATED_OTHERWISE") for result in results)
    assert any("1 of them at the velocity that you stated" in line for line in restoring_lines(results, False))


def test_a_standard_scan_has_nothing_to_gain_whatever_is_asked(export, tmp_path, model):
    results = restored(export, tmp_path / "out", any_velocity=True)
    refused = next(result.refused for result in results if result.source.name == "standard.dcm")
    assert "no faster than the standard one (20 cm/min)" in refused
    assert "--any-velocity" not in refused


def test_a_failure_in_one_file_stops_no_other_and_is_said(export, tmp_path, model):
    shutil.copy(export / "rapid.dcm", export / "again.dcm")
    model(replace(TOY, restore=broken))
    results = restored(export, tmp_path / "out")
    assert [result.failed for result in results if result.failed] == [
        "the program could not restore it (MemoryError)"
    ] * 2
    assert len(results) == 5
    assert exit_code(results) == 4
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_unless_told(export, tmp_path, model):
    source, out = export / "rapid.dcm", tmp_path / "out"
    target = restored(source, out)[0].written
    before = sha256_file(target)
    again = restored(source, out)
    assert (again[0].unchanged, exit_code(again)) == (True, 0)
    target.write_bytes(b"somebody's own")
    kept = restored(source, out)
    assert kept[0].failed.startswith("EXISTS")
    assert exit_code(kept) == 4
    assert target.read_bytes() == b"somebody's own"
    assert restored(source, out, overwrite=True)[0].written == target
    assert sha256_file(target) == before


def test_names_that_are_uids_keep_apart(tmp_path):
    names = ["1.2.840.1", "1.2.840.2", "a", "a.dcm", "B.DCM"]
    found = [target.name for _, target in targets([tmp_path / name for name in names], tmp_path, tmp_path / "out")]
    assert found == [
        "1.2.840.1.restored.dcm", "1.2.840.2.restored.dcm", "a.restored.dcm", "a.dcm.restored.dcm", "B.restored.dcm",
    ]  # fmt: skip


def test_outputs_inside_the_input_are_left_alone(export, model):
    out = export / "restored"
    first = restored(export, out)
    assert sum(bool(result.written) for result in first) == 1
    assert scan_files(export, out) == [result.source for result in first]


def test_of_a_cohort_only_kept_objects_are_restored(export, tmp_path, model):
    def entry(name: str, outcome: str) -> Entry:
        return Entry(sha256=sha256_file(export / name), outcome=outcome, path=name)

    entries = (entry("rapid.dcm", "accepted"), entry("standard.dcm", "unpaired"), entry("half.dcm", "quarantined"))
    ledger = Ledger(name="one", key_fingerprint="", key_is_public=True, protocol={}, entries=entries)
    write_json(export / LEDGER, ledger.to_json())
    assert [path.name for path in scan_files(export, tmp_path)] == ["rapid.dcm", "standard.dcm"]


def test_what_the_counts_contradict_is_written_marked_and_in_the_exit_code(export, tmp_path, model):
    model(replace(TOY, restore=lambda rapid, k: scaled(rapid, k) * np.float32(2)))
    results = restored(export, tmp_path / "out")
    assert exit_code(results) == 3
    marked = next(result for result in results if result.written)
    assert pydicom.dcmread(marked.written).SeriesDescription == "RESTORED, CONTRADICTS ITS COUNTS: DO NOT READ"
    assert "MARKED, the measured counts contradict the image" in "\n".join(restoring_lines(results, False))


def test_nothing_to_restore_has_an_exit_code(export, tmp_path, model):
    assert exit_code(restored(export / "notes.txt", tmp_path / "out")) == 1


def test_words_name_no_path_unless_wanted_and_tell_of_a_missing_calibration(export, tmp_path, model):
    results = restored(export, tmp_path / "out")
    quiet = "\n".join(restoring_lines(results, show_paths=False))
    assert quiet.startswith("1 restored")
    assert "notes.txt" not in quiet
    assert "calibration" not in quiet
    assert "notes.txt" in "\n".join(restoring_lines(results, show_paths=True))
    model(replace(TOY, calibration=None))
    assert "no calibration" in "\n".join(restoring_lines(restored(export, tmp_path / "other"), show_paths=False))


def test_the_preview_is_drawn_beside(export, tmp_path, model):
    restored(export / "rapid.dcm", tmp_path / "out", preview=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["rapid.restored.dcm", "rapid.restored.png"]


def test_the_same_bytes_in_two_processes_for_any_number_of_workers(export, tmp_path):
    """The reference model over the command line: one process with two threads, two processes with one."""
    shutil.copy(export / "rapid.dcm", export / "again.dcm")
    said = []
    for workers in ("1", "2"):
        command = [
            sys.executable, "-m", "scintiflow.cli", "restore", str(export), "-o", str(tmp_path / workers),
            "--model", "reference", "--workers", workers,
        ]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout)
    assert said[0] == said[1]
    assert said[0].startswith("2 restored")
    assert sha256_tree(tmp_path / "1") == sha256_tree(tmp_path / "2")
    assert len(list((tmp_path / "1").iterdir())) == 2
