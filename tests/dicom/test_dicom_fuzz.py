"""Mutated files: each is taken or refused with a code, soon, in bounded memory; the run goes on."""

import os
import resource
import time

import numpy as np
import pytest
from dicom_samples import KEY, PROTOCOL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutated

from scintiflow.cohorts.intake import LONGEST_SECONDS_PER_FILE, Job, take_in, take_in_all
from scintiflow.cohorts.ledger import Entry
from scintiflow.cohorts.settling import settle
from scintiflow.dicom.opening import Opened, parse
from scintiflow.dicom.reading import scan_of
from scintiflow.dicom.reasons import Outcome, Reason, Rejection

PIECE = 1000  # files on disk at a time


def fuzzed(numbers: range, folder) -> list[Entry]:
    """Entries of mutated files, taken in as in a real run by processes that may die."""
    entries = []
    for start in range(numbers.start, numbers.stop, PIECE):
        export, staging = folder / f"export{start}", folder / f"staging{start}"
        export.mkdir()
        staging.mkdir()
        jobs = []
        for number in range(start, min(start + PIECE, numbers.stop)):
            path = export / f"{number}.dcm"
            path.write_bytes(mutated(number))
            jobs.append(Job(path))
        for path, intake in take_in_all(jobs, KEY, staging, workers=os.cpu_count() or 1):
            entries.append(intake.entry)
            path.unlink()
            if intake.staged:
                intake.staged.unlink()
    return entries


def check(entries: list[Entry], expected: int) -> None:
    assert len(entries) == expected
    for entry in entries:
        assert entry.outcome in set(Outcome)
        assert (entry.code == "") == (entry.scan is not None)
        assert entry.code == "" or Reason[entry.code].sentence
    refused = [entry for entry in entries if entry.code]
    assert 0.2 < len(refused) / expected < 0.95  # neither blind nor a coward
    settled = settle(entries, PROTOCOL)
    assert len(settled) == expected


def test_mutated_files_end_with_a_code_and_stop_nothing(tmp_path):
    check(fuzzed(range(500), tmp_path), 500)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_thousand_mutated_files(tmp_path):
    entries = fuzzed(range(20_000), tmp_path)
    check(entries, 20_000)
    assert not [entry for entry in entries if entry.code == "TOO_SLOW"]
    largest_kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert largest_kilobytes < 1_500_000


def test_a_mutated_file_never_takes_long_nor_raises(tmp_path):
    """In this process, so that a crash or an exception would be seen as such."""
    longest = 0.0
    for number in range(20_000, 20_150):
        path = tmp_path / "file.dcm"
        path.write_bytes(mutated(number))
        began = time.monotonic()
        take_in(Job(path), KEY, tmp_path)
        longest = max(longest, time.monotonic() - began)
    assert longest < LONGEST_SECONDS_PER_FILE


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400))
def test_any_bytes_after_the_mark_are_refused_not_raised(tail):
    with pytest.raises(Rejection):
        scan_of(Opened(parse(bytes(128) + b"DICM" + tail), ""))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(30_000, 10**9))
def test_what_is_taken_from_a_mutated_file_is_a_whole_scan(number):
    try:
        scan = scan_of(Opened(parse(mutated(number)), ""))
    except Rejection:
        return
    assert scan.counts.dtype == np.uint16
    assert scan.counts.shape[0] in (1, 2)
    assert scan.counts.any(axis=(1, 2)).all()
    assert 0.5 <= scan.spacing_mm <= 12
    assert 0.2 <= scan.velocity_mm_s <= 15
    assert scan.patient_id
