"""Nobody can be named from anything that a run writes, prints or logs; what training needs survives."""

import base64
import io
import logging
import re
import traceback
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from dicom_samples import KEY, PROTOCOL, rapid_counts, standard_counts
from PIL import Image
from planted import MULTI_BYTE, planted_scan

from scintiflow.cohorts.add import add_cohort
from scintiflow.cohorts.inspect import as_table, inspect_all
from scintiflow.cohorts.wording import report_lines
from scintiflow.dicom.opening import open_object
from scintiflow.dicom.reading import read_scan, scan_of
from scintiflow.dicom.reasons import Rejection

PICTURE = re.compile(rb"data:image/jpeg;base64,([A-Za-z0-9+/=]+)")
CHILDREN = dict(enumerate(MULTI_BYTE))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The cohort's report, every byte that came out by where it came out, and the key."""
    export, cohorts = tmp_path_factory.mktemp("export"), tmp_path_factory.mktemp("cohorts")
    key: dict[str, bytes] = {}
    for seed, charset in CHILDREN.items():
        for rapid in (False, True):
            planted = planted_scan(seed, rapid, charset)
            path = export / f"XQFOLDER{seed}" / f"XQFILE{rapid}.dcm"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(planted.content)
            key |= {
                f"child {seed} {'rapid' if rapid else 'standard'}: {at}": mark for at, mark in planted.key.items()
            }
    cut = export / "XQFOLDER0" / "XQBROKEN.dcm"
    cut.write_bytes(planted_scan(50, False).content[:-5000])
    key |= {"file name": b"XQFILE", "folder name": b"XQFOLDER", "broken file": b"XQBROKEN", "broken": b"XQ050S"}
    report = add_cohort(export, "ward", protocol=PROTOCOL, key=KEY, cohorts=cohorts, workers=2)
    written = {
        path.relative_to(cohorts).as_posix(): path.read_bytes()
        for path in sorted(cohorts.rglob("*"))
        if path.is_file()
    }
    written["names"] = "\n".join(written).encode()
    written["screen"] = "\n".join([*report_lines(report), repr(report)]).encode()
    return report, written, key, export


def test_the_key_is_long_enough():
    places = planted_scan(0, False).key
    assert len(places) >= 60
    content = planted_scan(0, False).content
    assert [place for place, mark in places.items() if mark not in content] == []


def test_all_scans_are_taken_and_paired(run):
    report, *_ = run
    assert report.ledger.outcomes == {"accepted": 2 * len(CHILDREN), "unpaired": 0, "quarantined": 1, "ignored": 0}


def test_no_planted_identifier_is_in_any_output_byte(run):
    report, written, key, _ = run
    pixels = {entry.path: None for entry in report.ledger.entries if entry.path}
    for name, content in written.items():
        if name.removeprefix("ward/") in pixels:  # counts match two bytes by chance
            header = open_object(report.folder / name.removeprefix("ward/")).dataset
            content = content[: len(content) - len(header.PixelData)]
        content = PICTURE.sub(b"", content)  # so does their base64
        for place, mark in key.items():
            if len(mark) > 2:
                assert mark not in content, (place, name)
    assert b"XQ" not in written["ward/cohort.json"]


def test_the_pictures_of_the_page_hold_pixels_and_no_texts(run):
    report, written, *_ = run
    pictures = [base64.b64decode(found) for found in PICTURE.findall(written["ward/cohort.html"])]
    assert len(pictures) == 2 * report.ledger.pairs
    for picture in pictures:
        with Image.open(io.BytesIO(picture)) as opened:
            opened.load()
            assert (opened.mode, [name for name, _ in opened.applist]) == ("L", ["APP0"])
            assert {*opened.info} == {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_no_planted_identifier_is_printed_logged_or_raised(run, tmp_path, capfd, caplog):
    _, _, _, export = run
    caplog.set_level(logging.DEBUG)
    add_cohort(export, "ward", protocol=PROTOCOL, key=KEY, cohorts=tmp_path, workers=2)
    shown = "".join(str(part) for part in as_table(inspect_all(export, 2), show_paths=False).renderables[1:])
    raised = ""
    for path in sorted(export.rglob("*.dcm")):
        try:
            scan = scan_of(open_object(path))
            assert "XQ" not in repr(scan)
        except Rejection as rejection:
            raised += "".join(traceback.format_exception(rejection))
    said = capfd.readouterr()
    for text in (said.out, said.err, caplog.text, raised, shown):
        assert "XQ" not in text.replace(str(export), "").replace("/XQFOLDER0/XQBROKEN.dcm", "")
        assert "20150304" not in text


def scans_of(report, seed: int) -> tuple:
    """(rapid, standard) of child `seed`, found by their counts."""
    found = {}
    for entry in report.ledger.entries:
        if entry.path and entry.is_kept:
            scan = read_scan(report.folder / entry.path)
            found[scan.counts.tobytes()] = (scan, open_object(report.folder / entry.path).dataset)
    return found[rapid_counts(seed).tobytes()], found[standard_counts(seed).tobytes()]


def test_what_must_be_kept_is_kept(run):
    report, *_ = run
    for seed in CHILDREN:
        (rapid, _), (standard, dataset) = scans_of(report, seed)
        assert np.array_equal(rapid.counts, rapid_counts(seed))
        assert (standard.spacing_mm, standard.velocity_mm_s, rapid.velocity_mm_s) == (4.8, 3.333, 6.667)
        assert (standard.sex, standard.size_m, standard.weight_kg) == ("F", 1.31, 28.5)
        assert standard.age_years == pytest.approx(9.17, abs=1 / 12)
        assert standard.views == rapid.views == ("anterior", "posterior")
        assert int(dataset.CountsAccumulated) == standard_counts(seed).sum()
        assert (dataset.ActualFrameDuration, dataset.WholeBodyTechnique) == (368677, "1PS")
        assert dataset.DetectorInformationSequence[0].CollimatorType == "PARA"
        window = dataset.EnergyWindowInformationSequence[0].EnergyWindowRangeSequence[0]
        assert (window.EnergyWindowLowerLimit, window.EnergyWindowUpperLimit) == (126, 154)


def test_uids_intervals_and_pseudonyms_are_consistent(run):
    report, *_ = run
    patients, uids = set(), set()
    for seed in CHILDREN:
        (rapid, first), (standard, second) = scans_of(report, seed)
        assert rapid.patient_id == standard.patient_id
        assert rapid.study_uid == standard.study_uid
        assert first.FrameOfReferenceUID == second.FrameOfReferenceUID
        assert rapid.acquired - standard.acquired == timedelta(minutes=15)
        patients.add(standard.patient_id)
        uids.update((rapid.instance_uid, standard.instance_uid))
    assert len(patients) == len(CHILDREN)
    assert len(uids) == 2 * len(CHILDREN)


def test_file_header_and_preamble_hold_nothing_of_the_source(run):
    report, *_ = run
    for path in sorted(report.folder.rglob("*.dcm")):
        dataset = open_object(Path(path)).dataset
        assert path.read_bytes()[:128] == bytes(128)
        assert {element.keyword for element in dataset.file_meta} == {
            "FileMetaInformationGroupLength",
            "FileMetaInformationVersion",
            "MediaStorageSOPClassUID",
            "MediaStorageSOPInstanceUID",
            "TransferSyntaxUID",
            "ImplementationClassUID",
            "ImplementationVersionName",
        }
