"""A hospital's export in, a cohort out: complete, repeatable, without identity."""

import json
import os
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from bad_inputs import halves
from dicom_samples import KEY, PROTOCOL, rapid_object, save_child, standard_counts, standard_object
from filelock import FileLock
from pydicom.data import get_testdata_file

from scintiflow.cohorts import add as add_module
from scintiflow.cohorts import intake, storing, workers
from scintiflow.cohorts.add import add_cohort
from scintiflow.cohorts.intake import Earlier, Job, take_in
from scintiflow.cohorts.ledger import Entry, Ledger
from scintiflow.cohorts.report import MEANINGS, render_pages
from scintiflow.cohorts.wording import path_lines, report_lines
from scintiflow.dicom.identity import IdentityKey
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.reasons import Reason
from scintiflow.dicom.whole_body import save_object
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file, sha256_tree


def add(export: Path, cohorts: Path, **options):
    options = {"protocol": PROTOCOL, "key": KEY, "workers": 1, **options}
    return add_cohort(export, "ward", cohorts=cohorts, **options)


def codes(report) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in report.ledger.entries:
        found[entry.code or "accepted"] = found.get(entry.code or "accepted", 0) + 1
    return found


@pytest.fixture
def export(tmp_path):
    """Two children, the real GE scan, its lossy copy, and what else lies about in an export."""
    folder = tmp_path / "export Berra James"
    save_child(folder, 0)
    save_child(folder / "Berra2_James", 1)
    shutil.copy(get_testdata_file("JPEG-LL.dcm"), folder / "ge.dcm")
    shutil.copy(get_testdata_file("JPEG2000.dcm"), folder / "lossy.dcm")
    (folder / "readme.txt").write_text("patients of Dr. Berra")
    (folder / "broken.dcm").write_bytes(b"nothing")
    (folder / "link.dcm").symlink_to(folder / "ge.dcm")
    os.mkfifo(folder / "pipe.dcm")
    return folder


def test_every_file_has_one_outcome_and_the_sums_match_the_walk(export, tmp_path):
    report = add(export, tmp_path / "cohorts")
    assert report.changed
    assert report.walked == 10
    assert report.ledger.outcomes == {"accepted": 4, "unpaired": 1, "quarantined": 2, "ignored": 3}
    assert codes(report) == {
        "accepted": 4,
        "VELOCITY_OUT_OF_PROTOCOL": 1,
        "LOSSY": 1,
        "CORRUPT": 1,
        "NOT_DICOM": 1,
        "SYMLINK": 1,
        "SPECIAL_FILE": 1,
    }
    record = json.loads((report.folder / "cohort.json").read_text())
    assert record["walked"] == sum(record["outcomes"].values()) == len(record["files"])
    assert record["pairs"] == 2
    assert record["identity_key"]["fingerprint"] == KEY.fingerprint
    assert sha256_file(export / "lossy.dcm") in {file["sha256"] for file in record["files"]}
    for reason in record["reasons"].values():
        assert reason["sentence"]
        assert reason["remedy"]


def test_the_real_scan_is_kept_unpaired_with_exact_counts(export, tmp_path):
    report = add(export, tmp_path / "cohorts")
    (entry,) = [entry for entry in report.ledger.entries if entry.code == "VELOCITY_OUT_OF_PROTOCOL"]
    assert entry.outcome == "unpaired"
    assert {"AGE_UNKNOWN", "VIEW_UNKNOWN", "SOPCLASS_SC"} <= set(entry.warnings)
    assert int(read_scan(report.folder / entry.path).counts.sum(dtype=np.int64)) == 3_596_452


def test_nothing_in_the_cohort_names_anybody(export, tmp_path, capfd, caplog):
    report = add(export, tmp_path / "cohorts")
    identities = (
        "MRN4711",
        "Berra",
        "James",
        "Elsewhere",
        "BERRA",
        "8NM1",
        "1.2.826",
        "1.3.6.1.4.1.5962",
        "20240506",
    )
    for path in report.folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        for identity in identities:
            assert identity not in path.relative_to(report.folder).as_posix()
            assert identity.encode() not in content, (path.name, identity)
    printed = capfd.readouterr()
    for identity in identities:
        assert identity not in printed.out + printed.err + caplog.text + repr(report)


def test_quarantined_files_are_not_copied(export, tmp_path):
    report = add(export, tmp_path / "cohorts")
    kept = {entry.path for entry in report.ledger.entries if entry.is_kept}
    assert {path.relative_to(report.folder).as_posix() for path in report.folder.rglob("*.dcm")} == kept
    assert len(kept) == 5


def test_adding_again_changes_nothing(export, tmp_path):
    first = add(export, tmp_path / "cohorts")
    before = sha256_tree(first.folder)
    stamp = (first.folder / "cohort.json").stat().st_mtime_ns
    again = add(export, tmp_path / "cohorts")
    assert not again.changed
    assert sha256_tree(again.folder) == before
    assert (again.folder / "cohort.json").stat().st_mtime_ns == stamp


def test_known_bytes_are_hashed_and_not_read_again(export, tmp_path, monkeypatch):
    first = add(export, tmp_path / "cohorts")
    kept = {entry.sha256: entry for entry in first.ledger.entries if entry.is_kept}
    earlier = Earlier(first.folder, kept)
    paths = [
        path
        for path in export.rglob("*.dcm")
        if path.is_file() and not path.is_symlink() and sha256_file(path) in kept
    ]
    staging = tmp_path / "staging"
    staging.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(intake, "parse", lambda content: pytest.fail("was parsed"))
        for path in paths:
            found = take_in(Job(path), KEY, staging, earlier=earlier)
            assert (found.known, found.staged, found.entry) == (True, None, kept[sha256_file(path)])
    assert len(paths) == 5
    (first.folder / str(kept[sha256_file(paths[0])].path)).write_bytes(b"altered")
    found = take_in(Job(paths[0]), KEY, staging, earlier=earlier)
    assert not found.known
    assert sha256_file(found.staged) == kept[sha256_file(paths[0])].object_sha256


def test_an_altered_object_is_restored_from_its_source(export, tmp_path):
    first = add(export, tmp_path / "cohorts")
    before = sha256_tree(first.folder)
    (first.folder / next(str(entry.path) for entry in first.ledger.entries if entry.is_kept)).write_bytes(b"altered")
    assert add(export, tmp_path / "cohorts").changed
    assert sha256_tree(first.folder) == before


def test_any_number_of_workers_gives_the_same_bytes(export, tmp_path):
    one = add(export, tmp_path / "one", workers=1)
    two = add(export, tmp_path / "two", workers=2)
    assert sha256_tree(one.folder) == sha256_tree(two.folder)


def test_joining_and_drawing_give_the_same_bytes_in_one_process_and_in_several(tmp_path, monkeypatch):
    for seed in (1, 2):
        for make in (rapid_object, standard_object):
            for number, half in enumerate(halves(make, seed)):
                save_object(tmp_path / "export" / f"{seed}-{make.__name__}-{number}.dcm", half)
    alone = add(tmp_path / "export", tmp_path / "alone", workers=3)
    monkeypatch.setattr(workers, "FEWEST_PER_WORKER", 1)
    shared = add(tmp_path / "export", tmp_path / "shared", workers=3)
    assert codes(shared) == {"accepted": 8}
    assert {"VIEWS_JOINED"} <= {warning for entry in shared.ledger.entries for warning in entry.warnings}
    assert (shared.folder / "cohort.html").read_text().count("<figure>") == 2
    assert sha256_tree(alone.folder) == sha256_tree(shared.folder)


def test_a_later_delivery_finds_its_partner_and_moves_nothing(tmp_path):
    rapid, _ = save_child(tmp_path / "export", 0)
    save_child(tmp_path / "export", 1)
    late = tmp_path / "late"
    late.mkdir()
    rapid.rename(late / "rapid.dcm")
    first = add(tmp_path / "export", tmp_path / "cohorts")
    assert codes(first) == {"accepted": 2, "NO_RAPID": 1}
    objects = {path: path.read_bytes() for path in first.folder.rglob("*.dcm")}
    second = add(late, tmp_path / "cohorts")
    assert codes(second) == {"accepted": 4}
    assert all(path.read_bytes() == content for path, content in objects.items())


def test_an_interrupted_run_is_completed_by_the_next(export, tmp_path, monkeypatch):
    whole = sha256_tree(add(export, tmp_path / "reference").folder)

    def full_disk(path, text):
        if path.name == "cohort.json":
            raise OSError(28, "No space left on device")
        write(path, text)

    write = storing._write
    monkeypatch.setattr(storing, "_write", full_disk)
    with pytest.raises(ScintiflowError, match="No space"):
        add(export, tmp_path / "cohorts")
    monkeypatch.undo()
    assert sha256_tree(add(export, tmp_path / "cohorts").folder) == whole


def test_dry_run_writes_nothing(export, tmp_path):
    report = add(export, tmp_path / "cohorts", dry_run=True)
    assert report.ledger.outcomes["accepted"] == 4
    assert not (tmp_path / "cohorts").exists()


def test_dry_run_stages_no_objects_and_still_joins_views(tmp_path, monkeypatch):
    export = tmp_path / "export"
    _, standard = save_child(export, 0)
    standard.unlink()
    for number, half in enumerate(halves(standard_object, 0)):
        quietly(export / f"view{number}.dcm", half)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    seen: list[int] = []
    settle = add_module.settle

    def looked(*arguments):
        seen.append(len(list(temporary.rglob("*.dcm"))))
        return settle(*arguments)

    monkeypatch.setattr(add_module, "settle", looked)
    assert codes(add(export, tmp_path / "cohorts", dry_run=True)) == {"accepted": 3}
    assert seen == [3]  # two halves and what they make; not the rapid scan
    assert list(temporary.iterdir()) == []


def test_paths_are_shown_on_demand_and_cannot_steer_the_terminal(export, tmp_path):
    (export / "evil\x1b[2J\n.dcm").write_bytes(b"nothing more")
    report = add(export, tmp_path / "cohorts")
    lines = list(path_lines(report))
    assert any(line.startswith("  LOSSY") and line.endswith("/lossy.dcm") for line in lines)
    assert all(line.isprintable() for line in lines)
    assert not any("child0" in line for line in lines)
    assert "Berra" not in "".join(report_lines(report))


def quietly(path: Path, dataset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_object(path, dataset)


def test_one_uid_with_two_contents_sets_both_aside(tmp_path):
    export = tmp_path / "export"
    save_child(export, 0)
    other = standard_object(0)
    other.PixelData = (standard_counts(0) + 1).tobytes()
    other.CountsAccumulated = ""
    quietly(export / "other.dcm", other)
    assert codes(add(export, tmp_path / "cohorts")) == {"UID_COLLISION": 2, "NO_STANDARD": 1}


def test_copies_count_once(tmp_path):
    export = tmp_path / "export"
    _, standard = save_child(export, 0)
    shutil.copy(standard, export / "copy.dcm")
    again = standard_object(0)
    again.InstitutionName = "another spelling"
    quietly(export / "same-object.dcm", again)
    exported_twice = standard_object(0, instance_uid="1.2.826.0.1.3680043.8.77.1")
    quietly(export / "new-uid.dcm", exported_twice)
    assert codes(add(export, tmp_path / "cohorts")) == {"accepted": 2, "DUPLICATE": 2, "DUPLICATE_PIXELS": 1}


def test_two_rapids_are_ambiguous(tmp_path):
    export = tmp_path / "export"
    save_child(export, 0)
    second = rapid_object(0, minutes_later=30, instance_uid="1.2.826.0.1.3680043.8.77.1")
    second.PixelData = np.roll(standard_counts(0) // 2, 3, axis=1).tobytes()
    second.CountsAccumulated = ""
    quietly(export / "second.dcm", second)
    assert codes(add(export, tmp_path / "cohorts")) == {"AMBIGUOUS_PAIR": 3}


def test_a_shared_patient_id_is_found(tmp_path):
    export = tmp_path / "export"
    save_child(export, 0)
    stranger = standard_object(1, patient_id="MRN4711001", birth_date="20110101", sex="M")
    quietly(export / "stranger.dcm", stranger)
    assert codes(add(export, tmp_path / "cohorts")) == {"PATIENT_CONFLICT": 3}


def test_unknown_views_within_the_protocol_are_set_aside(tmp_path):
    export = tmp_path / "export"
    save_child(export, 0)
    blind = standard_object(1)
    for item in blind.DetectorInformationSequence:
        del item.ViewCodeSequence
        del item.StartAngle
    quietly(export / "blind.dcm", blind)
    assert codes(add(export, tmp_path / "cohorts")) == {"accepted": 2, "VIEW_UNKNOWN": 1}


def test_a_cohort_keeps_its_key(export, tmp_path):
    add(export, tmp_path / "cohorts")
    with pytest.raises(ScintiflowError, match="identity key"):
        add(export, tmp_path / "cohorts", key=IdentityKey(bytes(32)))


def test_wrong_folders_are_refused_before_anything_is_read(export, tmp_path):
    with pytest.raises(ScintiflowError, match="inside each other"):
        add(export, export)
    with pytest.raises(ScintiflowError, match="not a folder"):
        add(tmp_path / "nowhere", tmp_path / "cohorts")
    with pytest.raises(ScintiflowError, match="cannot name a cohort"):
        add_cohort(export, "../up", protocol=PROTOCOL, key=KEY, cohorts=tmp_path / "cohorts")


def test_two_runs_at_once_are_refused(export, tmp_path):
    (tmp_path / "cohorts").mkdir()
    with FileLock(tmp_path / "cohorts" / ".ward.lock"), pytest.raises(ScintiflowError, match="another run"):
        add(export, tmp_path / "cohorts")


def test_the_page_leads_from_a_reason_to_its_files_and_says_how_to_find_them(export, tmp_path):
    report = add(export, tmp_path / "cohorts")
    page = (report.folder / "cohort.html").read_text()
    linked = list(dict.fromkeys(re.findall(r'href="#([A-Z_]+)"', page)))
    assert set(linked) == {entry.code for entry in report.ledger.entries if entry.code}
    outcomes = [Reason[code].outcome.value for code in linked]
    assert outcomes == sorted(outcomes, key=["quarantined", "unpaired", "ignored"].index)
    for entry in report.ledger.entries:
        if entry.code:
            assert page.count(f'id="{entry.code}"') == 1
            assert entry.sha256[:12] in page.partition('id="files"')[2]
    assert "--dry-run --show-paths" in page
    for outcome, meaning in MEANINGS.items():
        assert re.search(rf"{outcome}</td>.*?{report.ledger.outcomes[outcome]}</td>\s.*{re.escape(meaning)}", page)


def test_the_page_is_inert_and_self_contained(export, tmp_path):
    report = add(export, tmp_path / "cohorts")
    page = (report.folder / "cohort.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 4
    assert "http" not in page.replace("http-equiv", "")
    evil = "<script>alert(1)</script>=cmd|' /C calc'!A0"
    entry = Entry(sha256="0" * 64, outcome="quarantined", code="CORRUPT", detail=evil)
    ledger = Ledger(name=evil, key_fingerprint="k", key_is_public=True, protocol={}, entries=(entry,))
    ledger = Ledger(**{**vars(ledger), "protocol": PROTOCOL.model_dump()})
    ((_, rendered),) = render_pages(ledger, {})
    assert "<script" not in rendered
    assert "protect nobody" in rendered
