"""Which scans belong together."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from dicom_samples import PROTOCOL
from hypothesis import given, settings
from hypothesis import strategies as st

from scintiflow.dicom.pairing import expected_count_ratio, pair_scans
from scintiflow.dicom.scan import ScanSummary

START = datetime(2020, 1, 1, 9)
STANDARD = ScanSummary(
    patient="P-1",
    study_uid="2.25.1",
    instance_uid="2.25.10",
    acquired=START.isoformat(),
    duration_s=500.0,
    velocity_mm_s=3.333,
    views=("anterior", "posterior"),
    shape=(2, 1024, 256),
    spacing_mm=2.26,
    counts_per_view=(400_000, 420_000),
    counts_sha256="s",
    age_years=7.0,
)


def rapid(hours: float = 0.25, **changes) -> ScanSummary:
    values = {
        "instance_uid": "2.25.20",
        "velocity_mm_s": 6.667,
        "acquired": (START + timedelta(hours=hours)).isoformat(),
        "counts_per_view": (200_000, 210_000),
        "counts_sha256": "r",
    }
    return replace(STANDARD, **{**values, **changes})


def reasons(*scans: ScanSummary) -> list[str]:
    return sorted(reason.name for reason in pair_scans(scans, PROTOCOL).reasons.values())


def test_two_scans_of_a_patient_make_a_pair():
    pairing = pair_scans([rapid(), STANDARD], PROTOCOL)
    (pair,) = pairing.pairs
    assert (pair.rapid, pair.standard, pairing.reasons) == (rapid(), STANDARD, {})
    assert pair.warnings == ()


def test_count_ratio_is_speed_times_decay_and_the_order_matters():
    """Against the decay constant: A(t) = A0 exp(-ln 2 t / 6.0067 h)."""
    decayed = np.exp(-np.log(2) * 2 / 6.0067)
    speed = 6.667 / 3.333
    assert expected_count_ratio(rapid(hours=2), STANDARD) == pytest.approx(speed / decayed)
    assert expected_count_ratio(rapid(hours=-2), STANDARD) == pytest.approx(speed * decayed)
    assert expected_count_ratio(rapid(hours=0), STANDARD) == pytest.approx(speed)


@pytest.mark.parametrize(
    ("scans", "expected"),
    [
        ([STANDARD], ["NO_RAPID"]),
        ([rapid()], ["NO_STANDARD"]),
        ([STANDARD, rapid(patient="P-2")], ["NO_RAPID", "NO_STANDARD"]),
        ([STANDARD, rapid(hours=7)], ["PAIR_TOO_FAR", "PAIR_TOO_FAR"]),
        ([STANDARD, rapid(), rapid(hours=1, instance_uid="2.25.21")], ["AMBIGUOUS_PAIR"] * 3),
        ([STANDARD, replace(STANDARD, instance_uid="2.25.11"), rapid()], ["AMBIGUOUS_PAIR"] * 3),
        ([STANDARD, rapid(counts_sha256="s")], ["PAIR_IDENTICAL"] * 2),
        ([STANDARD, rapid(shape=(2, 512, 256))], ["PAIR_MISMATCH"] * 2),
        ([STANDARD, rapid(spacing_mm=2.4)], ["PAIR_MISMATCH"] * 2),
        ([STANDARD, rapid(counts_per_view=(400_000, 420_000))], ["PAIR_COUNTS_RATIO"] * 2),
        ([STANDARD, rapid(velocity_mm_s=1.67)], ["NO_RAPID", "VELOCITY_OUT_OF_PROTOCOL"]),
        ([replace(STANDARD, age_years=44.0)], ["AGE_OUT_OF_RANGE"]),
        ([replace(STANDARD, views=())], ["VIEW_UNKNOWN"]),
        ([replace(STANDARD, views=("anterior",))], ["INCOMPLETE_SCAN"]),
        ([replace(STANDARD, counts_per_view=(400_000, 100))], ["LOW_COUNTS"]),
    ],
)
def test_why_scans_are_no_pair(scans, expected):
    assert reasons(*scans) == expected


def test_an_unknown_velocity_needs_no_view():
    assert reasons(replace(STANDARD, views=(), velocity_mm_s=1.67)) == ["VELOCITY_OUT_OF_PROTOCOL"]


def test_pairs_on_two_days_are_two_pairs():
    later = timedelta(days=90)
    again = [
        replace(scan, acquired=(scan.moment + later).isoformat(), instance_uid=scan.instance_uid + "9")
        for scan in (STANDARD, rapid())
    ]
    assert len(pair_scans([STANDARD, rapid(), *again], PROTOCOL).pairs) == 2


def test_scans_in_two_studies_are_paired_with_a_warning():
    (pair,) = pair_scans([STANDARD, rapid(study_uid="2.25.2")], PROTOCOL).pairs
    assert pair.warnings == ("PAIR_CROSS_STUDY",)


scan_sets = st.lists(
    st.tuples(st.sampled_from(["P-1", "P-2", "P-3"]), st.booleans(), st.floats(-20, 20)), max_size=8
).map(
    lambda drawn: [
        replace(
            rapid(hours=hours) if fast else replace(STANDARD, acquired=(START + timedelta(hours=hours)).isoformat()),
            patient=patient,
            instance_uid=f"2.25.{100 + number}",
        )
        for number, (patient, fast, hours) in enumerate(drawn)
    ]
)


@settings(deadline=None, max_examples=50)
@given(scan_sets, st.randoms())
def test_every_scan_ends_once_and_order_does_not_matter(scans, random):
    pairing = pair_scans(scans, PROTOCOL)
    paired = [scan.instance_uid for pair in pairing.pairs for scan in (pair.rapid, pair.standard)]
    assert sorted([*paired, *pairing.reasons]) == sorted(scan.instance_uid for scan in scans)
    shuffled = scans.copy()
    random.shuffle(shuffled)
    assert pair_scans(shuffled, PROTOCOL) == pairing


@settings(deadline=None, max_examples=50)
@given(scan_sets)
def test_other_patients_do_not_matter(scans):
    def of_first(pairing):
        return [pair for pair in pairing.pairs if pair.rapid.patient == "P-1"]

    alone = pair_scans([scan for scan in scans if scan.patient == "P-1"], PROTOCOL)
    assert of_first(pair_scans(scans, PROTOCOL)) == of_first(alone)
