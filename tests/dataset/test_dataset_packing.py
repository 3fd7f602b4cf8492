"""Cohorts in, data set out: complete, whole or absent, the same bytes every time."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from dicom_samples import rapid_counts, save_child, standard_counts
from small_ward import PAIRS, PARAMS, SPLIT

from scintiflow.cohorts.withdrawals import Withdrawal, record_withdrawal
from scintiflow.counts import counts_sha256
from scintiflow.dataset.manifest import COLUMNS, Dataset
from scintiflow.dataset.packing import pack_cohorts
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file, sha256_tree
from scintiflow.stages import ingest
from scintiflow.tracking import SilentTracker


def test_every_pair_is_packed_with_its_exact_counts(cohorts, tmp_path):
    report = pack_cohorts([cohorts / "ward"], PARAMS, tmp_path / "dataset", workers=1)
    dataset = Dataset.open(tmp_path / "dataset")
    assert list(dataset.table.columns) == list(COLUMNS)
    assert len(dataset.table) == report.numbers["pairs"] == PAIRS
    by_hash = {row["standard_counts_sha256"]: row for _, row in dataset.table.iterrows()}
    for seed in range(PAIRS):
        row = by_hash[counts_sha256(standard_counts(seed))]
        pair = dataset.pair(row["study"])
        assert np.array_equal(pair.standard, standard_counts(seed))
        assert np.array_equal(pair.rapid, rapid_counts(seed))
        assert row["rapid_counts_sha256"] == counts_sha256(rapid_counts(seed))
        assert row["rapid_counts_anterior"] == rapid_counts(seed)[0].sum()
        assert row["count_ratio"] == pytest.approx(6.667 / 3.333 * 2 ** (0.25 / 6.0067))  # standard came first
        assert row["age_years"] == pytest.approx(9.17, abs=0.1)
        assert abs(row["row_shift_anterior"]) < 1
        assert row["file_sha256"] == sha256_file(tmp_path / "dataset" / "studies" / f"{row['study']}.npz")


def test_what_is_left_out_is_told_with_reason_and_remedy(cohorts, tmp_path):
    report = pack_cohorts([cohorts / "ward"], PARAMS, tmp_path / "dataset", workers=1)
    (entry,) = json.loads((tmp_path / "dataset" / "quarantine.json").read_text())
    assert (entry["code"], entry["outcome"], entry["cohort"]) == ("NO_RAPID", "unpaired", "ward")
    assert entry["sentence"]
    assert entry["remedy"]
    numbers = report.numbers
    kept = numbers["delivered_accepted"] + numbers["delivered_unpaired"]
    assert numbers["scans_packed"] + numbers["scans_unpaired"] + numbers["scans_quarantined"] == kept
    assert sum(numbers[f"patients_{split}"] for split in ("train", "validation", "test")) == PAIRS


def test_a_withdrawn_patient_is_left_out_even_where_the_cohort_still_holds_the_scans(cohorts, tmp_path):
    patient = sorted(path.name for path in (cohorts / "ward").glob("P-*"))[0]
    scans = len(list((cohorts / "ward" / patient).rglob("*.dcm")))
    before = pack_cohorts([cohorts / "ward"], PARAMS, tmp_path / "before", workers=1).numbers
    record_withdrawal(cohorts, Withdrawal(patient=patient, by="Data manager", on="2026-11-22"))
    after = pack_cohorts([cohorts / "ward"], PARAMS, tmp_path / "after", workers=1).numbers
    assert after["reason_WITHDRAWN"] == scans
    assert before["pairs"] - after["pairs"] == scans // 2
    assert patient in set(Dataset.open(tmp_path / "before").table["patient"])
    assert patient not in set(Dataset.open(tmp_path / "after").table["patient"])
    assert patient not in (tmp_path / "after" / "quarantine.json").read_text()


def test_bytes_do_not_depend_on_workers_or_repetition(cohorts, tmp_path):
    hashes = {
        sha256_tree(pack_cohorts([cohorts / "ward"], PARAMS, tmp_path / name, workers=workers).dataset)
        for name, workers in (("one", 1), ("two", 2), ("one", 1))
    }
    assert len(hashes) == 1


def test_nothing_of_the_dataset_names_anybody(cohorts, tmp_path):
    pack_cohorts([cohorts / "ward"], PARAMS, tmp_path / "dataset", workers=1)
    for path in (tmp_path / "dataset").rglob("*.*"):
        contents = [path.read_bytes()]
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as packed:
                contents += [packed.read(name) for name in packed.namelist()]
        for identity in (b"MRN4711", b"Berra", b"Elsewhere", b"1.2.826"):
            assert all(identity not in content for content in contents)


def test_a_raw_file_copied_into_a_cohort_is_refused(cohorts, tmp_path):
    rapid, _ = save_child(tmp_path / "raw", 4)
    shutil.copy(rapid, cohorts / "ward" / "Berra_James.dcm")
    report = pack_cohorts([cohorts / "ward"], PARAMS, tmp_path / "dataset", workers=1)
    assert report.numbers["pairs"] == PAIRS
    assert report.numbers["reason_NOT_DEIDENTIFIED"] == 1
    assert "Berra" not in (tmp_path / "dataset" / "quarantine.json").read_text()


def test_an_altered_object_stops_the_stage_and_the_old_dataset_stays(cohorts, tmp_path):
    pack_cohorts([cohorts / "ward"], PARAMS, tmp_path / "dataset", workers=1)
    before = sha256_tree(tmp_path / "dataset")
    victim = sorted((cohorts / "ward").rglob("*.dcm"))[0]
    victim.write_bytes(victim.read_bytes()[:-2] + b"\1\1")
    with pytest.raises(ScintiflowError, match="altered"):
        pack_cohorts([cohorts / "ward"], PARAMS, tmp_path / "dataset", workers=1)
    assert sha256_tree(tmp_path / "dataset") == before


def test_too_few_patients_write_nothing(cohorts, tmp_path):
    strict = PARAMS.model_copy(update={"split": SPLIT.model_copy(update={"smallest_train": 40})})
    with pytest.raises(ScintiflowError, match="40 are needed"):
        pack_cohorts([cohorts / "ward"], strict, tmp_path / "dataset", workers=1)
    assert not (tmp_path / "dataset").exists()


def test_pairs_that_lie_too_far_apart_are_set_aside(cohorts, tmp_path):
    tight = PARAMS.model_copy(update={"largest_shift_mm": 1e-6})
    report = pack_cohorts([cohorts / "ward"], tight, tmp_path / "dataset", workers=1)
    assert report.numbers["pairs"] == 0
    assert report.numbers["reason_PAIR_MISREGISTERED"] == 2 * PAIRS


def test_a_cohort_delivered_twice_under_two_names_counts_once(cohorts, tmp_path):
    shutil.copytree(cohorts / "ward", cohorts / "ward-again")
    report = pack_cohorts([cohorts / "ward", cohorts / "ward-again"], PARAMS, tmp_path / "dataset", workers=1)
    assert report.numbers["pairs"] == PAIRS


def test_stage_names_the_missing_cohort(cohorts, tmp_path):
    outputs = ingest.Outputs(tmp_path / "dataset")
    numbers = ingest.run(PARAMS, ingest.Inputs(cohorts), outputs, SilentTracker())
    assert numbers["pairs"] == PAIRS
    assert all(isinstance(value, float) and np.isfinite(value) for value in numbers.values())
    with pytest.raises(ScintiflowError, match=r"absent.*dvc pull"):
        ingest.run(
            PARAMS.model_copy(update={"cohorts": ["absent"]}), ingest.Inputs(cohorts), outputs, SilentTracker()
        )


def test_an_unusual_position_is_marked_and_the_residual_is_kept(cohorts, tmp_path):
    usual = pack_cohorts([cohorts / "ward"], PARAMS, tmp_path / "usual", workers=1)
    assert usual.numbers["warned_pairs"] == 0
    table = Dataset.open(tmp_path / "usual").table
    assert table["residual_anterior"].between(0, 0.5).all()
    assert table["residual_posterior"].between(0, 0.5).all()
    shift = usual.numbers["shift_mm_largest"]
    narrow = PARAMS.model_copy(update={"largest_shift_mm": 1.5 * shift})
    report = pack_cohorts([cohorts / "ward"], narrow, tmp_path / "narrow", workers=1)
    assert report.numbers["pairs"] == PAIRS
    assert 1 <= report.numbers["warned_pairs"] <= PAIRS
    marked = Dataset.open(tmp_path / "narrow").table
    assert "PAIR_REGISTRATION" in " ".join(marked["warnings"])
