"""What is kept of restored scans names nobody, survives crashes, and is compared with what was kept of training."""

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from dicom_samples import rapid_object
from watched_scans import cohort_of, watched_scans

from scintiflow.dataset.manifest import Dataset, save_manifest
from scintiflow.dataset.study import Pair, save_pair
from scintiflow.dicom.derived import ModelIdentity
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.whole_body import save_object
from scintiflow.drift.check import check_drift
from scintiflow.drift.cohort import read_training_cohort, training_cohort
from scintiflow.drift.features import coarse_deviance
from scintiflow.drift.store import Journal
from scintiflow.drift.verdict import NO_DRIFT, VERDICT, verdict_folder
from scintiflow.errors import ScintiflowError
from scintiflow.files import read_json, write_json
from scintiflow.params import WatchParams

MODEL = ModelIdentity("scintiflow", "4", "cd" * 32)


@pytest.fixture
def scan(tmp_path):
    save_object(tmp_path / "rapid.dcm", rapid_object(2))
    return read_scan(tmp_path / "rapid.dcm")


def test_lines_from_before_stated_velocities_were_kept_still_count(tmp_path):
    (row,) = watched_scans(1, seed=1)
    old = {name: value for name, value in row.to_json().items() if name != "velocity_stated"}
    (tmp_path / "2026-01.jsonl").write_text(json.dumps(old) + "\n" + json.dumps(old | {"name": "x"}) + "\n")
    assert Journal(tmp_path).rows() == [row]


def test_a_restored_scan_leaves_coarse_numbers_and_no_identity(scan, tmp_path):
    journal = Journal(tmp_path / "watch")
    true_mean = np.maximum(scan.counts.astype(float), 0.2) * 2  # agrees too well: its own counts
    add = pickle.loads(pickle.dumps(journal.add))  # as it travels to the processes that restore a folder
    add(scan, true_mean, 2.0, MODEL)
    (row,) = journal.rows()
    assert row.model == "scintiflow 4"
    assert row.scanner == scan.scanner
    assert row.day == f"{datetime.now(UTC):%Y-%m-%d}"
    assert row.counts_anterior == pytest.approx(scan.counts_per_view[0], rel=0.05)
    assert row.counts_anterior != scan.counts_per_view[0]
    assert row.velocity_mm_s == 6.7
    assert 0 <= row.consistency_deviance < 0.5
    (file,) = (tmp_path / "watch").iterdir()
    text = file.read_text()
    assert file.name == f"{row.day[:7]}.jsonl"
    assert set(json.loads(text)) == {
        "day", "model", "model_sha256", "counts_anterior", "counts_posterior", "velocity_mm_s", "spacing_mm",
        "consistency_deviance", "age_band", "scanner", "velocity_stated",
    }  # fmt: skip
    for identity in (scan.patient_id, scan.study_uid, scan.instance_uid, "Berra", f"{scan.acquired:%Y}-0"):
        assert identity not in text.replace(row.day, "")


def test_months_are_files_and_days_can_be_chosen(tmp_path):
    journal = Journal(tmp_path / "watch")
    for row in watched_scans(24, seed=1):
        journal.append(row)
    assert len(list(journal.folder.glob("2026-*.jsonl"))) == 12
    assert len(journal.rows()) == 24
    assert {row.day for row in journal.rows("2026-03-03", "2026-04-03")} == {"2026-03-03", "2026-04-03"}


def test_a_line_that_a_crash_cut_off_costs_itself_alone(tmp_path):
    journal = Journal(tmp_path / "watch")
    rows = [replace(row, day="2026-05-01") for row in watched_scans(3, seed=2)]
    journal.append(rows[0])
    file = journal.folder / "2026-05.jsonl"
    file.write_bytes(file.read_bytes() + b'{"day": "2026-05-0')
    journal.append(rows[1])
    journal.append(rows[2])
    assert journal.rows() == rows


def test_several_writers_do_not_mix_their_lines(tmp_path):
    journal = Journal(tmp_path / "watch")
    rows = [replace(row, day="2026-05-01") for row in watched_scans(60, seed=3)]
    with ThreadPoolExecutor(6) as writers:
        list(writers.map(journal.append, rows))
    assert sorted(map(repr, journal.rows())) == sorted(map(repr, rows))


def test_the_training_cohort_is_kept_without_children(tmp_path):
    generator = np.random.default_rng(4)
    (tmp_path / "studies").mkdir()
    rows = []
    for place in range(6):
        pair = Pair(*(generator.poisson(mean, (2, 60, 40)).astype(np.uint16) for mean in (2.0, 4.0)))
        save_pair(tmp_path / "studies" / f"s{place}.npz", pair)
        rows.append(
            {
                "study": f"s{place}", "patient": f"p{place}", "cohort": "c", "split": ("train", "test")[place % 2],
                "age_years": (float("nan"), 3.2)[place > 0], "scanner": "GE Discovery", "spacing_mm": 2.21,
                "rapid_velocity_mm_s": 6.667, "standard_velocity_mm_s": 3.333, "count_ratio": 2.0,
                "rapid_counts_anterior": int(pair.rapid[0].sum()), "rapid_counts_posterior": int(pair.rapid[1].sum()),
                "standard_counts_anterior": 1, "standard_counts_posterior": 1,
            }
        )  # fmt: skip
    columns = pd.DataFrame(rows)
    save_manifest(tmp_path, [{**dict.fromkeys(NUMERIC_REST, 0.0), **row} for row in columns.to_dict("records")])
    dataset = Dataset.open(tmp_path)
    held_out = [
        coarse_deviance(dataset.pair(f"s{place}").rapid, np.full((2, 60, 40), 4.0), 2.0) for place in (1, 3, 5)
    ]
    found = training_cohort(dataset, held_out)
    assert found["studies"] == 6
    assert found["categories"] == {"age_band": {"2 to 5 years": 5, "age unknown": 1}, "scanner": {"GE Discovery": 6}}
    assert found["numbers"]["spacing_mm"] == [2.2] * 6
    assert found["numbers"]["velocity_mm_s"] == [6.7] * 6
    assert len(found["numbers"]["consistency_deviance"]) == 3  # of held-out patients alone
    assert np.mean(found["numbers"]["consistency_deviance"]) == pytest.approx(1.0, abs=0.1)  # the truth's deviance
    with pytest.raises(ValueError, match="2 deviances of 3 held-out scans"):
        training_cohort(dataset, held_out[:2])
    write_json(tmp_path / "kept.json", found)
    assert read_training_cohort(tmp_path / "kept.json") == found
    assert "s1" not in (tmp_path / "kept.json").read_text()


MOVED = ("row_shift", "column_shift", "rotation", "residual")
NUMERIC_REST = [f"{name}_{view}" for name in MOVED for view in ("anterior", "posterior")]


def test_a_check_leaves_its_verdict_where_plan_looks(tmp_path):
    watch = WatchParams(folder=str(tmp_path / "watch"))
    with pytest.raises(ScintiflowError, match="not watched"):
        check_drift(WatchParams(), "scintiflow", "champion", 90)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    for row in watched_scans(30, seed=5):
        Journal(tmp_path / "watch").append(replace(row, day=today))
    Journal(tmp_path / "watch").append(replace(watched_scans(1, seed=6)[0], day="2020-01-01"))
    write_json(tmp_path / "trained.json", cohort_of(watched_scans(137, seed=0)))
    verdict = check_drift(watch, "scintiflow", "champion", 90, tmp_path / "trained.json")
    assert (verdict.verdict, verdict.scans) == (NO_DRIFT, 30)
    assert read_json(verdict_folder(watch) / VERDICT)["verdict"] == NO_DRIFT

    write_json(tmp_path / "else.json", {"studies": 1})
    with pytest.raises(ScintiflowError, match="no statistics"):
        check_drift(watch, "scintiflow", "champion", 90, tmp_path / "else.json")
