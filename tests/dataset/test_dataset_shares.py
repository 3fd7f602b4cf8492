"""Pods that share the patients of ingest: one data set, byte for byte, whoever did the work."""

import os
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1]))
from dicom_samples import save_child
from picture_pairs import write_delivery
from small_ward import PAIRS, PARAMS, SPLIT
from versioned_project import commit_cohort, make_project

from components.ingest_share import ingest_share
from scintiflow.cohorts.fetch import cohorts_at
from scintiflow.cohorts.versions import COHORTS
from scintiflow.cohorts.withdrawals import Withdrawal, record_withdrawal
from scintiflow.dataset.manifest import Dataset
from scintiflow.dataset.packing import pack_share
from scintiflow.dataset.prepared import PreparedPair
from scintiflow.dataset.shares import Share
from scintiflow.dataset.split import patients_per_split
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_tree
from scintiflow.keyed_store import KeyedStore
from scintiflow.params import ImagePairParams, IngestParams
from scintiflow.stages import ingest
from scintiflow.stages.kept_folders import CHECKPOINTS
from scintiflow.tracking import SilentTracker

SHARES = 3


@pytest.fixture(scope="module")
def ward(made, tmp_path_factory) -> Path:
    """The same cohorts with a file in them that the cohort does not know."""
    root = tmp_path_factory.mktemp("shares")
    shutil.copytree(made, root / "cohorts")
    raw, _ = save_child(root / "raw", 77)
    shutil.copy(raw, root / "cohorts" / "ward" / "Berra_James.dcm")
    return root / "cohorts"


@pytest.fixture
def volume(tmp_path, monkeypatch) -> Path:
    """What all pods mount; each pod has one core."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setenv(CHECKPOINTS, str(tmp_path / "volume"))
    return tmp_path / "volume"


def alone(cohorts: Path, params: IngestParams, target: Path) -> tuple[str, dict[str, float]]:
    numbers = ingest.run(params, ingest.Inputs(cohorts), ingest.Outputs(target), SilentTracker())
    return sha256_tree(target), numbers


def left_on(volume: Path) -> list[Path]:
    return [path for path in volume.rglob("*") if path.is_file()]


def test_three_shares_and_the_step_after_them_give_the_bytes_of_one_pod(ward, volume, tmp_path):
    whole, numbers = alone(ward, PARAMS, tmp_path / "alone")
    assert numbers["reason_NOT_DEIDENTIFIED"] == numbers["reason_NO_RAPID"] == 1
    shares = [ingest.run_share(PARAMS, ingest.Inputs(ward), Share(share, SHARES)) for share in (2, 0, 1)]
    assert sum(share["pairs_prepared"] for share in shares) == numbers["pairs"] == PAIRS
    assert sum(share["pairs_prepared"] > 0 for share in shares) > 1, "one pod had everything to do"
    assert len(left_on(volume)) == PAIRS
    assert alone(ward, PARAMS, tmp_path / "joined") == (whole, numbers)
    assert left_on(volume) == [], "no scan stays on the volume"


def test_the_step_takes_what_the_shares_left(ward, volume, tmp_path):
    """Told by work that only they can have done: shifts that no registration finds."""
    for share in range(SHARES):
        ingest.run_share(PARAMS, ingest.Inputs(ward), Share(share, SHARES))
    for path in left_on(volume):
        made = PreparedPair.load(path.read_bytes())
        elsewhere = tuple(replace(view, row_shift=view.row_shift + 3) for view in made.registered)
        path.unlink()
        KeyedStore(volume / "pairs").put(path.name.split("-")[0], replace(made, registered=elsewhere).save)
    alone(ward, PARAMS, tmp_path / "joined")
    alone(ward, PARAMS, tmp_path / "alone")
    shifts = [Dataset.open(tmp_path / name).table["row_shift_anterior"] for name in ("joined", "alone")]
    assert np.array_equal(shifts[0], shifts[1] + 3)


def test_a_share_that_is_missing_damaged_or_done_twice_changes_nothing(ward, volume, tmp_path):
    whole, _ = alone(ward, PARAMS, tmp_path / "alone")
    shares = [ingest.run_share(PARAMS, ingest.Inputs(ward), Share(share, SHARES)) for share in (0, 1)]
    again = ingest.run_share(PARAMS, ingest.Inputs(ward), Share(0, SHARES))
    assert (again["pairs_prepared"], again["pairs_taken_over"]) == (0, shares[0]["pairs_prepared"])
    victim = left_on(volume)[0]
    victim.write_bytes(victim.read_bytes()[:-1])
    assert alone(ward, PARAMS, tmp_path / "joined")[0] == whole
    assert left_on(volume) == []


def test_a_share_holds_whole_patients_and_every_patient_is_in_one():
    patients = [f"P-{number:016x}" for number in range(600)]
    shares = [Share(number, SHARES) for number in range(SHARES)]
    counted = Counter(share.number for patient in patients for share in shares if share.holds(patient))
    assert sum(counted.values()) == len(patients)
    assert max(counted.values()) < 1.2 * min(counted.values())
    with pytest.raises(ValueError, match="no share 3 of 3"):
        Share(3, 3)


def test_withdrawn_patients_do_not_get_onto_the_volume(ward, volume, tmp_path):
    cohorts = Path(shutil.copytree(ward, tmp_path / "cohorts"))
    patient = sorted(path.name for path in (cohorts / "ward").glob("P-*") if len([*path.rglob("*.dcm")]) == 2)[0]
    record_withdrawal(cohorts, Withdrawal(patient=patient, by="Data manager", on="2026-11-22"))
    shares = [ingest.run_share(PARAMS, ingest.Inputs(cohorts), Share(share, SHARES)) for share in range(SHARES)]
    assert sum(share["pairs_prepared"] for share in shares) == len(left_on(volume)) == PAIRS - 1


def test_an_altered_object_stops_its_share(ward, volume, tmp_path):
    cohorts = Path(shutil.copytree(ward, tmp_path / "cohorts"))
    victim = sorted((cohorts / "ward").glob("P-*/**/*.dcm"))[0]
    victim.write_bytes(victim.read_bytes()[:-2] + b"\1\1")
    holder = next(number for number in range(SHARES) if Share(number, SHARES).holds(victim.parents[1].name))
    for workers in (1, 2):
        with pytest.raises(ScintiflowError, match="altered"):
            pack_share([cohorts / "ward"], PARAMS, Share(holder, SHARES), KeyedStore(volume), workers=workers)


def test_pictures_are_shared_in_the_same_way(volume, tmp_path):
    write_delivery(tmp_path / "cohorts" / "endoscopy", patients=6, frames=2)
    params = PARAMS.model_copy(
        update={"source": "image_pairs", "cohorts": ["endoscopy"], "image_pairs": ImagePairParams()}
    )
    whole = alone(tmp_path / "cohorts", params, tmp_path / "alone")
    shares = [
        ingest.run_share(params, ingest.Inputs(tmp_path / "cohorts"), Share(share, SHARES)) for share in range(SHARES)
    ]
    assert sum(share["pairs_prepared"] for share in shares) == len(left_on(volume)) == whole[1]["pairs"]
    assert alone(tmp_path / "cohorts", params, tmp_path / "joined") == whole
    assert left_on(volume) == []


def test_pods_fetch_their_own_patients_alone_from_a_pinned_commit(ward, volume, tmp_path, monkeypatch):
    """As Kubeflow calls them: the components, with SOURCE@SHA for the cohorts."""
    project = make_project(tmp_path / "project")
    shutil.copytree(ward / "ward", project / COHORTS / "ward", ignore=shutil.ignore_patterns("Berra*"))
    where = f"{project}@{commit_cohort(project, 'ward', 'Ward')}"
    held = [path.name for path in (ward / "ward").glob("P-*") if len([*path.rglob("*.dcm")]) == 2]
    splits = (SPLIT.model_copy(update={"seed": seed}) for seed in range(100))
    split = next(split for split in splits if all(patients_per_split(held, split).values()))
    params = PARAMS.model_copy(update={"split": split})
    whole, numbers = alone(project / COHORTS, params, tmp_path / "alone")
    for number in range(SHARES):
        disk = tmp_path / f"pod-{number}"
        disk.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(disk))
        report = SimpleNamespace(path=str(disk / "report"), log_metric=lambda *_: None)
        ingest_share.python_func(params.model_dump_json(), "", where, "", number, SHARES, report)
        fetched = {path.parents[1].name for path in disk.rglob("*.dcm")}
        assert fetched == {
            path.name for path in (ward / "ward").glob("P-*") if Share(number, SHARES).holds(path.name)
        }
    assert len(left_on(volume)) == numbers["pairs"]
    fetched = cohorts_at(where, ["ward"])
    assert alone(fetched, params, tmp_path / "joined") == (whole, numbers)
    assert left_on(volume) == []


def test_pods_without_a_common_volume_are_told_so(ward, monkeypatch):
    monkeypatch.setenv(CHECKPOINTS, "s3://bucket/checkpoints")
    with pytest.raises(ScintiflowError, match=r"is a bucket.*placement\.ingest\.shards"):
        ingest.run_share(PARAMS, ingest.Inputs(ward), Share(0, SHARES))
