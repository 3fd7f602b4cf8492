"""Which version of a cohort a retrain reads, in a real git and DVC project."""

import os
import subprocess
import sys

import pytest

from scintiflow.cluster.pins import pin_cohorts, pins_sha256
from scintiflow.cohorts.ledger import LEDGER, Ledger
from scintiflow.cohorts.versioning import fetch_version
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_tree, write_json


def run(folder, *command):
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment)


def git(folder, *arguments):
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments)


def dvc(folder, *arguments):
    run(folder, sys.executable, "-m", "dvc", *arguments)


def add_cohort(project, name, *, public, scan="scan"):
    folder = project / "data" / "cohorts" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scan.bin").write_text(scan)
    ledger = Ledger(name=name, key_fingerprint="f", key_is_public=public, protocol={}, entries=())
    write_json(folder / LEDGER, ledger.to_json())
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pins") / "project"
    run(folder.parent, "git", "init", "-q", str(folder))
    dvc(folder, "init", "-q")
    dvc(folder, "remote", "add", "-d", "local", str(folder.parent / "remote"))
    for name, public in (("sample", True), ("hospital", False), ("accepted", False)):
        add_cohort(folder, name, public=public)
        dvc(folder, "add", f"data/cohorts/{name}")
    git(folder, "add", "data/cohorts/accepted.dvc")
    git(folder, "commit", "-qm", "accepted")
    return folder


def test_who_is_accepted(project):
    pins = {pin.name: pin for pin in pin_cohorts(["sample", "hospital", "accepted", "absent"], project)}
    assert all(pins[name].version.startswith("dvc:") for name in ("sample", "hospital", "accepted"))
    assert pins["accepted"].objection == ""
    assert pins["sample"].objection == ""  # nobody's data may be made on the spot
    assert "not committed" in pins["hospital"].objection
    assert (pins["absent"].version, pins["absent"].is_here) == ("", False)


def test_a_delivery_of_pictures_is_pinned_though_it_has_no_record(project):
    for half in ("low", "high"):
        (project / "data" / "cohorts" / "pictures" / half).mkdir(parents=True)
        (project / "data" / "cohorts" / "pictures" / half / "p1_1.png").write_bytes(half.encode())
    (before,) = pin_cohorts(["pictures"], project)
    assert (before.is_here, before.has_record, before.objection) == (True, False, "is not under DVC")
    dvc(project, "add", "data/cohorts/pictures")
    (pin,) = pin_cohorts(["pictures"], project)
    assert pin.version.startswith("dvc:")
    assert "not committed" in pin.objection


def test_an_altered_folder_is_pinned_by_content_and_objected_to(project):
    scan = project / "data" / "cohorts" / "accepted" / "scan.bin"
    (before,) = pin_cohorts(["accepted"], project)
    scan.unlink()  # DVC may have linked it into its cache
    scan.write_text("altered")
    try:
        (pin,) = pin_cohorts(["accepted"], project)
    finally:
        scan.write_text("scan")
    assert pin.version.startswith("sha256:")
    assert "differs" in pin.objection
    assert pins_sha256([pin]) != pins_sha256([before])
    assert pin_cohorts(["accepted"], project) == (before,)


def test_the_hash_of_pins_sees_names_and_versions_and_no_order(project):
    pins = pin_cohorts(["sample", "hospital"], project)
    assert pins_sha256(pins) == pins_sha256(reversed(pins))
    assert pins_sha256(pins) != pins_sha256(pins[:1])


def test_any_version_comes_back_from_the_remote_and_the_project_stays_as_it_is(project, tmp_path):
    pushed = add_cohort(project, "old", public=True, scan="version one")
    dvc(project, "add", "data/cohorts/old")
    dvc(project, "push", "-q", "data/cohorts/old.dvc")
    (pin,) = pin_cohorts(["old"], project)
    first = sha256_tree(pushed)
    (pushed / "scan.bin").unlink()
    add_cohort(project, "old", public=True, scan="version two")
    dvc(project, "add", "data/cohorts/old")
    (project / ".dvc" / "cache").rename(project / ".dvc" / "elsewhere")
    try:
        fetch_version(project, pin.version.removeprefix("dvc:"), tmp_path / "again" / "old")
    finally:
        run(project, "rm", "-rf", ".dvc/cache")
        (project / ".dvc" / "elsewhere").rename(project / ".dvc" / "cache")
    assert sha256_tree(tmp_path / "again" / "old") == first
    assert sha256_tree(pushed) != first
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["old"]


def test_a_version_that_nobody_has_is_refused(project, tmp_path):
    with pytest.raises(ScintiflowError, match="neither the cache nor the remote"):
        fetch_version(project, "0" * 32 + ".dir", tmp_path / "again" / "old")
    assert list((tmp_path / "again").iterdir()) == []
