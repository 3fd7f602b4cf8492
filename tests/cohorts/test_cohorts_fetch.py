"""Pods fetch a pinned cohort: once, whole or in part, read-only, many at the same time, over a line that breaks."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from s3_server import line_to, new_bucket, s3_server, surroundings
from versioned_project import commit_cohort, git, make_project, write_cohort

from scintiflow.cohorts.fetch import cohorts_at, fetch_cohort, patients_at
from scintiflow.cohorts.ledger import LEDGER, read_ledger
from scintiflow.cohorts.selection import UNPAIRED, Selection
from scintiflow.cohorts.versions import COHORTS
from scintiflow.cohorts.withdrawals import Withdrawal, record_withdrawal
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file, sha256_tree, write_json

LARGE = 200_000
SECOND_STUDY = f"S-{1:016x}"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Two commits of a cohort; the first, which is to be fetched, has six patients."""
    project = make_project(tmp_path_factory.mktemp("pods") / "project")
    write_cohort(project, "first", {f"P-{number}": number for number in range(6)})
    pinned = commit_cohort(project, "first", "First")
    delivered = sha256_tree(project / "data/cohorts/first")
    write_cohort(project, "first", {"P-later": 9})
    commit_cohort(project, "first", "Later")
    return project, pinned, delivered


def test_the_pinned_commit_is_fetched_whole_and_the_project_is_only_read(project, tmp_path):
    source, pinned, delivered = project
    before = sha256_tree(source)
    done = fetch_cohort(str(source), pinned, "first", tmp_path)
    assert sha256_tree(tmp_path / "first") == delivered
    assert (done.patients, done.files, done.fetched) == (6, 14, 14)
    assert sha256_tree(source) == before
    assert not [path for path in (tmp_path / "first").rglob("*.dcm") if path.stat().st_mode & 0o222]
    assert [path.name for path in tmp_path.iterdir()] == ["first"], "nothing half-fetched is left"


def test_a_clone_by_its_url_needs_nothing_but_reading(project, tmp_path):
    source, pinned, delivered = project
    done = fetch_cohort(f"file://{source}", pinned, "first", tmp_path)
    assert done.fetched == 14
    assert sha256_tree(tmp_path / "first") == delivered


def test_a_second_fetch_transfers_nothing_and_another_version_is_refused(project, tmp_path):
    source, pinned, delivered = project
    fetch_cohort(str(source), pinned, "first", tmp_path)
    assert fetch_cohort(str(source), pinned, "first", tmp_path).fetched == 0
    with pytest.raises(ScintiflowError, match="holds something else"):
        fetch_cohort(str(source), "HEAD", "first", tmp_path)
    assert sha256_tree(tmp_path / "first") == delivered
    altered = next((tmp_path / "first").rglob("*.dcm"))
    altered.chmod(0o644)
    altered.write_bytes(b"altered")
    with pytest.raises(ScintiflowError, match="holds something else"):
        fetch_cohort(str(source), pinned, "first", tmp_path)


def test_only_the_patients_that_are_needed(project, tmp_path):
    source, pinned, _ = project
    done = fetch_cohort(str(source), pinned, "first", tmp_path, Selection(patients=frozenset({"P-1", "P-4"})))
    record = read_ledger(done.folder)
    assert {entry.summary.patient for entry in record.entries} == {"P-1", "P-4"}
    assert (record.pairs, done.fetched) == (2, 4)
    objects = {path.relative_to(done.folder).as_posix(): path for path in done.folder.rglob("*.dcm")}
    assert {entry.path: entry.object_sha256 for entry in record.entries} == {
        name: sha256_file(path) for name, path in objects.items()
    }
    assert fetch_cohort(str(source), pinned, "first", tmp_path, Selection(patients=frozenset({"P-4", "P-1"}))) == (
        replace(done, fetched=0)
    )
    with pytest.raises(ScintiflowError, match="holds something else"):
        fetch_cohort(str(source), pinned, "first", tmp_path, Selection(patients=frozenset({"P-4"})))


def test_only_the_studies_that_are_needed(tmp_path):
    project = make_project(tmp_path / "project")
    write_cohort(project, "first", {"P-1": [1, 2], "P-2": 1})
    commit_cohort(project, "first", "First")
    done = fetch_cohort(str(project), "HEAD", "first", tmp_path / "pod", Selection(studies=frozenset({SECOND_STUDY})))
    assert (done.patients, done.fetched) == (1, 2)
    assert {path.parent.name for path in done.folder.rglob("*.dcm")} == {SECOND_STUDY}
    with pytest.raises(ScintiflowError, match="holds no scan of S-unknown"):
        fetch_cohort(str(project), "HEAD", "first", tmp_path / "no", Selection(studies=frozenset({"S-unknown"})))


@pytest.fixture
def withdrawn(tmp_path):
    """A project whose newest commit withdraws P-2, while its cohort still holds the patient: a merged branch."""
    project = make_project(tmp_path / "project")
    write_cohort(project, "first", {f"P-{number}": number for number in range(4)})
    commit_cohort(project, "first", "First")
    record_withdrawal(project / COHORTS, Withdrawal(patient="P-2", by="Data manager", on="2026-11-22"))
    git(project, "add", "data/cohorts/withdrawn.json")
    git(project, "commit", "--quiet", "--message", "Withdrawn")
    return project


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_scans_of_a_withdrawn_patient_are_not_fetched(withdrawn, tmp_path, scheme):
    pinned, source = git(withdrawn, "rev-parse", "HEAD"), f"{scheme}{withdrawn}"
    done = fetch_cohort(source, pinned, "first", tmp_path / "pod")
    assert (done.patients, done.fetched, done.left_out) == (3, 6, 1)
    texts = [path.read_bytes() for path in done.folder.rglob("*") if path.is_file()]
    assert not any(b"P-2" in text for text in texts), "neither scans nor record nor page name the patient"
    assert not any("P-2" in path.as_posix() for path in done.folder.rglob("*"))
    codes = [entry.code for entry in read_ledger(done.folder).entries if not entry.is_kept]
    assert codes == ["WITHDRAWN", "WITHDRAWN"]
    assert patients_at(f"{source}@{pinned}", ["first"]) == {"P-0", "P-1", "P-3"}
    with pytest.raises(ScintiflowError, match="P-2 withdrew consent"):
        fetch_cohort(source, pinned, "first", tmp_path / "no", Selection(patients=frozenset({"P-2"})))


def test_a_checkout_that_knows_of_a_withdrawal_does_not_fetch_from_before_it(withdrawn, tmp_path):
    before = git(withdrawn, "rev-parse", "HEAD~1")
    assert fetch_cohort(str(withdrawn), before, "first", tmp_path / "pod").left_out == 1


def test_shares_of_the_patients_make_up_the_cohorts(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    project = make_project(tmp_path / "project")
    write_cohort(project, "first", {"P-1": 1, "P-2": 2, "P-3": 3})
    write_cohort(project, "second", {"P-3": [4], "P-4": 5})
    commit_cohort(project, "first", "First")
    where = f"{project}@{commit_cohort(project, 'second', 'Second')}"
    names = ["first", "second"]
    patients = sorted(patients_at(where, names))
    assert patients == sorted(patients_at(str(project / COHORTS), names)) == ["P-1", "P-2", "P-3", "P-4"]
    shares = [cohorts_at(where, names, Selection(patients=frozenset(patients[part::2]))) for part in range(2)]
    for name in names:
        whole = read_ledger(project / COHORTS / name)
        parts = [read_ledger(share / name) for share in shares]
        assert sorted(entry.sha256 for part in parts for entry in part.entries) == [e.sha256 for e in whole.entries]
        objects = [path.relative_to(share / name) for share in shares for path in (share / name).rglob("*.dcm")]
        assert sorted(map(str, objects)) == sorted(str(entry.path) for entry in whole.entries)


def test_a_stage_that_restores_single_scans_fetches_no_pairs(tmp_path):
    project = make_project(tmp_path / "project")
    folder = write_cohort(project, "first", {"P-1": 1, "P-2": 2})
    record = read_ledger(folder)
    waiting = replace(record.entries[0], outcome="unpaired", code="NO_RAPID")
    write_json(folder / LEDGER, replace(record, entries=(waiting, *record.entries[1:])).to_json())
    where = f"{project}@{commit_cohort(project, 'first', 'First')}"
    fetched = cohorts_at(where, ["first"], UNPAIRED)
    assert [path.relative_to(fetched / "first").as_posix() for path in fetched.rglob("*.dcm")] == [waiting.path]


def test_what_is_there_already_is_not_transferred_again(tmp_path):
    """The store loses every object but the new ones: an update of a fetched cohort needs no more."""
    source = make_project(tmp_path / "project")
    write_cohort(source, "first", {"P-1": 1, "P-2": 2})
    commit_cohort(source, "first", "First")
    fetch_cohort(str(source), "HEAD", "first", tmp_path / "old")
    write_cohort(source, "first", {"P-1": 1, "P-2": 7, "P-3": 3})
    commit_cohort(source, "first", "More")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(source), str(clone))
    known = next((source / COHORTS / "first" / "P-1").rglob("N-rapid.dcm"))
    digest = hashlib.md5(known.read_bytes()).hexdigest()
    (tmp_path / "project-remote/files/md5" / digest[:2] / digest[2:]).unlink()
    done = fetch_cohort(str(clone), "HEAD", "first", tmp_path / "new", present=tmp_path / "old")
    assert sha256_tree(done.folder) == sha256_tree(source / COHORTS / "first")
    assert (done.files, done.found) == (8, 3), "two scans and the page, which says nothing new; not the record"
    shared = [path for path in done.folder.rglob("*.dcm") if path.stat().st_nlink == 2]
    assert len(shared) == 2, "unchanged scans take no room twice"


def test_what_is_there_but_altered_is_fetched(project, tmp_path):
    source, pinned, delivered = project
    fetch_cohort(str(source), pinned, "first", tmp_path / "old")
    altered = sorted((tmp_path / "old/first").rglob("*.dcm"))[0]
    altered.chmod(0o644)
    altered.write_bytes(b"altered")
    done = fetch_cohort(str(source), pinned, "first", tmp_path / "new", present=tmp_path / "old")
    assert (done.fetched, done.found) == (1, 13)
    assert sha256_tree(done.folder) == delivered


def test_a_delivery_of_pictures_is_fetched_whole_and_cannot_be_chosen_from(tmp_path):
    project = make_project(tmp_path / "project")
    for half in ("low", "high"):
        (project / COHORTS / "pictures" / half).mkdir(parents=True)
        (project / COHORTS / "pictures" / half / "p1_1.png").write_bytes(half.encode())
    where = f"{project}@{commit_cohort(project, 'pictures', 'Pictures')}"
    for wanted in (Selection(), UNPAIRED):
        assert sha256_tree(cohorts_at(where, ["pictures"], wanted) / "pictures") == sha256_tree(
            project / COHORTS / "pictures"
        )
    with pytest.raises(ScintiflowError, match=r"has no cohort\.json"):
        cohorts_at(where, ["pictures"], Selection(patients=frozenset({"P-1"})))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "second"}, "there is no cohort 'second'"),
        ({"wanted": Selection(patients=frozenset({"P-later"}))}, "holds no scan of P-later"),
        ({"revision": "0" * 40}, "cannot be listed"),
        ({"revision": "main", "source": "https://git.example.org/project"}, "is not the full SHA of a commit"),
    ],
)
def test_what_is_not_there_is_named(project, tmp_path, arguments, sentence):
    source, pinned, _ = project
    asked = {"source": str(source), "revision": pinned, "name": "first", "target": tmp_path} | arguments
    with pytest.raises(ScintiflowError, match=sentence):
        fetch_cohort(**asked)
    assert not list(tmp_path.iterdir())


def test_bytes_that_were_altered_in_the_remote_are_refused(tmp_path):
    project = make_project(tmp_path / "project")
    write_cohort(project, "first", {"P-1": 1})
    commit_cohort(project, "first", "First")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(project), str(clone))
    digest = hashlib.md5((project / "data/cohorts/first/cohort.html").read_bytes()).hexdigest()
    stored = tmp_path / "project-remote/files/md5" / digest[:2] / digest[2:]
    stored.chmod(0o644)
    stored.write_bytes(stored.read_bytes()[:-1] + b"!")
    with pytest.raises(
        ScintiflowError, match=r"cohort\.html: cannot be fetched: its content is not what its hash says"
    ):
        fetch_cohort(str(clone), "HEAD", "first", tmp_path / "pod")
    assert not list((tmp_path / "pod").iterdir())


def test_pods_that_start_together_share_one_folder(project, tmp_path):
    source, pinned, delivered = project
    command = [sys.executable, "-m", "scintiflow.cli", "cohort", "fetch", "--cohort", "first", "--rev", pinned]
    pods = [subprocess.Popen([*command, "--to", str(tmp_path)], cwd=source) for _ in range(3)]
    assert [pod.wait() for pod in pods] == [0, 0, 0]
    assert sha256_tree(tmp_path / "first") == delivered
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


def test_a_stage_is_given_a_plain_folder_as_it_is_and_a_pinned_one_fetched(project, monkeypatch, tmp_path):
    source, pinned, delivered = project
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert cohorts_at("data/cohorts", ["first"]) == Path("data/cohorts")
    folder = cohorts_at(f"{source}@{pinned}", ["first"])
    assert folder.is_relative_to(tmp_path)
    assert sha256_tree(folder / "first") == delivered


def test_a_line_that_is_cut_leaves_nothing_and_a_retry_completes(tmp_path, monkeypatch):
    with s3_server() as endpoint, line_to(endpoint) as line:
        for name, value in surroundings(line.endpoint).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        project = make_project(tmp_path / "project", f"s3://{new_bucket(endpoint)}/cohorts")
        cohort = write_cohort(project, "first", {f"P-{number}": number for number in range(6)}, padding=LARGE)
        commit_cohort(project, "first", "First")
        clone = tmp_path / "clone"
        git(tmp_path, "clone", "--quiet", str(project), str(clone))
        line.cut_after(3 * LARGE)
        with pytest.raises(ScintiflowError, match="cannot be fetched"):
            fetch_cohort(str(clone), "HEAD", "first", tmp_path / "pod")
        assert line.is_cut
        assert not list((tmp_path / "pod").iterdir())
        line.mend()
        fetch_cohort(str(clone), "HEAD", "first", tmp_path / "pod")
        assert sha256_tree(tmp_path / "pod/first") == sha256_tree(cohort)
