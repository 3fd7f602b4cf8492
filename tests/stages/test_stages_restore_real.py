"""The real scans that a run restores are those of patients whose consent stands, even in a cohort made before."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pydicom
import pytest

sys.path.append(str(Path(__file__).parents[1] / "dicom"))
from dicom_samples import KEY, PROTOCOL, save_child

from scintiflow.cohorts.add import add_cohort
from scintiflow.cohorts.ledger import read_ledger
from scintiflow.cohorts.withdrawals import Withdrawal, record_withdrawal
from scintiflow.dicom.reasons import Outcome
from scintiflow.errors import ScintiflowError
from scintiflow.evaluation.summary import RESTORED
from scintiflow.evaluation_folder import SUMMARY
from scintiflow.files import write_json
from scintiflow.params import RestoreRealParams
from scintiflow.registry.models import REGISTRATION, RegisteredModel
from scintiflow.stages import restore_real
from scintiflow.tracking import SilentTracker

MODEL = RegisteredModel("toy", "3", "champion", "a" * 32, "b" * 64)
PARAMS = RestoreRealParams(cohorts=["ward"], speed_factor=2.0, seed=1)
COHORT = "ward"


@pytest.fixture
def inputs(tmp_path, monkeypatch) -> restore_real.Inputs:
    """Two single scans of two patients, a model that multiplies, and an evaluation of nothing."""
    for seed in range(2):
        rapid, _ = save_child(tmp_path / "export", seed)
        rapid.unlink()
    add_cohort(tmp_path / "export", COHORT, protocol=PROTOCOL, key=KEY, cohorts=tmp_path / "cohorts", workers=1)
    write_json(tmp_path / "evaluation" / SUMMARY, {
        "about": {"gaussian_sigma_pixels": 1.0}, "methods": [], "data_range_counts": 40.0
    })  # fmt: skip
    registration = {"name": MODEL.name, "version": MODEL.version, "alias": MODEL.alias, "decision": {}}
    write_json(tmp_path / "registration" / REGISTRATION, registration)
    monkeypatch.setattr(
        restore_real, "load_registered", lambda *named: (lambda rapid, ratio: rapid.astype("float32") * ratio, MODEL)
    )
    monkeypatch.setattr(
        restore_real, "content_of_evaluation", lambda *parts: SimpleNamespace(facts=[], sections=parts[-1])
    )
    monkeypatch.setattr(restore_real, "render_report", lambda content, path: path.write_text("report"))
    return restore_real.Inputs(tmp_path / "cohorts", tmp_path / "evaluation", tmp_path / "registration")


def patients_of(inputs: restore_real.Inputs) -> list[str]:
    entries = read_ledger(inputs.cohorts / COHORT).entries
    assert {entry.outcome for entry in entries} == {Outcome.UNPAIRED}
    return sorted(entry.summary.patient for entry in entries)


def restored(inputs: restore_real.Inputs, folder: Path) -> list[str]:
    """Pseudonyms in the restored objects of a run."""
    numbers = restore_real.run(PARAMS, inputs, restore_real.Outputs(folder), SilentTracker())
    found = sorted(pydicom.dcmread(path).PatientID for path in folder.glob("*.dcm"))
    assert numbers["real_scans"] == len(found)
    assert f"real_scan_{len(found)}_psnr_held_out_{RESTORED}" in numbers
    return found


def withdraw(inputs: restore_real.Inputs, patient: str) -> None:
    """On the list alone: the cohort still holds the scans, as after a merge or a checkout of an older version."""
    record_withdrawal(inputs.cohorts, Withdrawal(patient=patient, by="Dr. Ada Example", on="2026-11-20"))


def test_withdrawn_patients_are_not_restored(inputs, tmp_path):
    first, second = patients_of(inputs)
    assert restored(inputs, tmp_path / "before") == [first, second]
    withdraw(inputs, second)
    assert patients_of(inputs) == [first, second]
    assert restored(inputs, tmp_path / "after") == [first]


def test_a_cohort_of_withdrawn_patients_alone_has_nothing_to_restore(inputs, tmp_path):
    for patient in patients_of(inputs):
        withdraw(inputs, patient)
    with pytest.raises(ScintiflowError, match="no single scan to restore"):
        restored(inputs, tmp_path / "after")
    assert not (tmp_path / "after").exists()
