"""Which version of a cohort a retrain reads, in a real git and DVC project."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scintiflow.cli import app
from scintiflow.cluster.pins import pin_cohorts, pinned_source, pins_sha256
from scintiflow.cohorts.fetch import cohorts_at
from scintiflow.cohorts.ledger import LEDGER, Ledger
from scintiflow.cohorts.versioning import fetch_version
from scintiflow.cohorts.versions import cohort_version
from scintiflow.cohorts.withdrawals import Withdrawal, record_withdrawal
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_tree, write_json

ROOT = Path(__file__).parents[2]


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


@pytest.fixture
def checkout(project, tmp_path):
    """A clone of a repository with two pushed cohorts; none of them is here yet."""
    origin = tmp_path / "origin"
    run(tmp_path, "git", "clone", "-q", str(project), str(origin))
    shutil.copytree(
        project / ".dvc", origin / ".dvc", dirs_exist_ok=True, ignore=shutil.ignore_patterns("cache", "tmp")
    )
    for name in ("needed", "other"):
        add_cohort(origin, name, public=False, scan=f"scan of {name}")
        dvc(origin, "add", f"data/cohorts/{name}")
        dvc(origin, "push", "-q", f"data/cohorts/{name}.dvc")
    git(origin, "add", ".")
    git(origin, "commit", "-qm", "two deliveries")
    run(tmp_path, "git", "clone", "-q", str(origin), str(tmp_path / "clone"))
    return tmp_path / "clone"


def head(project):
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project, check=True, capture_output=True, text=True)
    return found.stdout.strip()


def test_pods_are_given_a_pushed_commit_that_only_the_cohorts_change(checkout):
    pins = pin_cohorts(["needed"], checkout)
    first = head(checkout)
    assert pinned_source("https://git.example.org/s.git", pins, checkout) == f"https://git.example.org/s.git@{first}"
    (checkout / "README.md").write_text("words")
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "words")
    assert pinned_source("u", pins, checkout) == f"u@{first}"  # so Kubeflow's cache still knows the data
    folder = cohorts_at(f"{checkout}@{first}", ["needed"])  # what the steps do with it
    assert (folder / "needed" / "scan.bin").read_text() == "scan of needed"
    assert sorted(found.name for found in folder.iterdir()) == ["needed", "needed.dvc"]
    assert cohort_version(folder.parents[1], "needed").md5 == pins[0].version.removeprefix("dvc:")

    record_withdrawal(checkout / "data" / "cohorts", Withdrawal(patient="P-1", by="Data manager", on="2026-11-22"))
    with pytest.raises(ScintiflowError, match=r"withdrawn\.json: is not committed"):
        pinned_source("u", pins, checkout)
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "a withdrawal")
    run(checkout, "git", "push", "-q", "origin", "HEAD:refs/heads/withdrawn")
    second = head(checkout)
    assert pinned_source("u", pins, checkout) == f"u@{second}"  # pods must know who withdrew

    pointer = checkout / "data" / "cohorts" / "needed.dvc"
    pointer.write_text(pointer.read_text() + "# changed\n")
    with pytest.raises(ScintiflowError, match="not committed"):
        pinned_source("u", pins, checkout)
    git(checkout, "commit", "-qam", "another delivery")
    with pytest.raises(ScintiflowError, match="no branch of a remote"):
        pinned_source("u", pins, checkout)


def test_only_the_cohorts_of_the_recipe_are_pulled(checkout, monkeypatch):
    shutil.copy(ROOT / "params.yaml", checkout)
    (checkout / "profiles").mkdir()
    (checkout / "profiles" / "p.yaml").write_text("ingest: {cohorts: [needed, absent]}\n")
    monkeypatch.chdir(checkout)
    result = CliRunner().invoke(app, ["cohort", "pull", "--profile", "p"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "Pulled: needed" in result.output
    assert "No .dvc file here: absent" in result.output
    cohorts = checkout / "data" / "cohorts"
    assert {path.name for path in cohorts.iterdir() if path.is_dir()} == {"needed"}


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
