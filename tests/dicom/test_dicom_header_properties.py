"""Whatever a header says, one rule holds: what is taken is right, what is not has a code."""

import math
import warnings
from datetime import date, timedelta

import numpy as np
import pytest
from dicom_samples import HEADER, KEY, standard_counts, standard_object
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from scintiflow.dicom.deidentification import deidentified_file
from scintiflow.dicom.header import age_years, table_velocity
from scintiflow.dicom.opening import Opened, parse
from scintiflow.dicom.reading import scan_of
from scintiflow.dicom.reasons import Rejection
from scintiflow.dicom.whole_body import object_bytes

many = settings(deadline=None, max_examples=100)
few = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])


def with_values(**values) -> Dataset:
    dataset = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
    return dataset


@many
@given(st.floats(0.5, 10), st.floats(0.92, 1.08), st.floats(300, 2200))
def test_a_true_velocity_is_read_and_inferred_alike(velocity, error, length):
    """Real scans satisfy velocity = length / duration to about 10%."""
    duration = max(1, round(length / velocity * 1000 * error))
    known = {"ScanLength": round(length), "ActualFrameDuration": duration}
    read, inferred = table_velocity(with_values(ScanVelocity=f"{velocity:.6g}", **known), set())
    assert not inferred
    assert read == pytest.approx(velocity, rel=1e-5)
    guessed, inferred = table_velocity(with_values(ScanVelocity="", **known), set())
    assert inferred
    assert guessed == pytest.approx(velocity, rel=0.12)


@many
@given(st.floats(0.5, 10), st.floats(300, 2200))
def test_a_velocity_in_cm_per_minute_is_never_taken(velocity, length):
    known = {"ScanLength": round(length), "ActualFrameDuration": max(1, round(length / velocity * 1000))}
    with pytest.raises(Rejection, match="VELOCITY"):
        table_velocity(with_values(ScanVelocity=f"{velocity * 6:.6g}", **known), set())


@many
@given(st.text("0123456789.-+eEnaif ", max_size=12))
def test_any_text_as_velocity_is_refused_or_plausible(text):
    try:
        header = with_values(ScanVelocity=text, ScanLength=1229, ActualFrameDuration=368677)
        velocity, _ = table_velocity(header, set())
    except (Rejection, ValueError, TypeError, OverflowError):  # or pydicom refuses to hold the text: CORRUPT
        return
    assert math.isfinite(velocity)
    assert velocity == pytest.approx(1229 / 368.677, rel=0.26)


@many
@given(st.dates(date(2006, 1, 1), date(2024, 5, 6)))
def test_age_follows_from_the_birth_date(born):
    dataset = with_values(PatientBirthDate=born.strftime("%Y%m%d"), PatientAge="099Y")
    age = age_years(dataset, HEADER.acquired, set())
    assert age == pytest.approx((HEADER.acquired.date() - born) / timedelta(days=365.25))


orders = st.sampled_from([(0, 1), (1, 0)])


@few
@given(orders, orders, st.booleans(), st.booleans(), st.sampled_from(["code", "legacy", "local", "angle"]))
def test_views_come_out_alike_however_they_are_stored(frames, detectors, mirrored, upside_down, told_by):
    """Frame order, detector order, orientation and the way to name views are all the vendor's choice."""
    dataset, counts = standard_object(), standard_counts()
    items = list(dataset.DetectorInformationSequence)
    for view, item in enumerate(items):
        across = float(item.ImageOrientationPatient[0]) * (-1 if mirrored else 1)
        item.ImageOrientationPatient = [across, 0, 0, 0, 0, 1 if upside_down else -1]
        code = item.ViewCodeSequence[0]
        if told_by == "legacy":
            code.CodeValue = ("G-5215", "G-5216")[view]
        elif told_by == "local":
            code.CodeValue, code.CodeMeaning = "X", ("FACE ANT", "FACE POST")[view]
        elif told_by == "angle":
            del item.ViewCodeSequence
    stored = counts[:, :: -1 if upside_down else 1, :: -1 if mirrored else 1]
    dataset.PixelData = np.ascontiguousarray(stored[list(frames)]).tobytes()
    dataset.DetectorInformationSequence = [items[view] for view in detectors]
    dataset.DetectorVector = [detectors.index(view) + 1 for view in frames]
    scan = scan_of(Opened(parse(object_bytes(dataset)), ""))
    assert scan.views == ("anterior", "posterior")
    assert np.array_equal(scan.counts, counts)


names = st.text(st.characters(codec="utf-8", categories=("L", "N", "Zs")), min_size=4, max_size=40)


@few
@given(names.map(str.strip).filter(lambda name: len(name) >= 4), st.uuids())
def test_names_in_any_script_never_survive(name, patient):
    dataset = standard_object()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.PatientName, dataset.OtherPatientNames = name, name
        dataset.PatientID, dataset.SeriesDescription = patient.hex, name
        opened = Opened(parse(object_bytes(dataset)), "")
    scan = scan_of(opened)
    written = deidentified_file(opened, scan, KEY)
    assert patient.hex.encode() not in written.header
    if not name.isascii():
        assert name.encode() not in written.header
    assert np.array_equal(scan_of(Opened(parse(bytes(written)), "")).counts, scan.counts)
