"""Killed at any moment, or out of disk: the next run gives the same bytes as if nothing had happened."""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dicom_samples import KEY, PROTOCOL, save_child

from scintiflow.cohorts.add import add_cohort
from scintiflow.cohorts.ledger import read_ledger
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_tree

CHILDREN = 6
# the moments of a run: it holds the lock, checks files, writes objects, commits
SIGNS = (".staging-ward@*", ".staging-ward@*/*.dcm", "ward/*/*/*.dcm", "ward/cohort.html")
PROGRAM = Path(__file__).with_name("add_in_a_process.py")


def add(export: Path, cohorts: Path):
    return add_cohort(export, "ward", protocol=PROTOCOL, key=KEY, cohorts=cohorts, workers=2)


def begin(export: Path, cohorts: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(export), str(cohorts)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for(run: subprocess.Popen, cohorts: Path, sign: str) -> float:
    """The moment at which a file that fits `sign` is there, or at which the run has ended."""
    while run.poll() is None and not any(cohorts.glob(sign)):
        time.sleep(0.002)
    return time.monotonic()


def killed(export: Path, cohorts: Path, after: str, seconds: float) -> bool:
    """Kill a run `seconds` after the sign `after`; False if it had ended before."""
    run = begin(export, cohorts)
    wait_for(run, cohorts, after)
    try:
        run.wait(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        run.kill()
        run.wait()
        return True


@pytest.fixture(scope="module")
def delivered(tmp_path_factory):
    """An export, the hash of its cohort, and for how long a run works after each sign that it gives."""
    export = tmp_path_factory.mktemp("export")
    for seed in range(CHILDREN):
        save_child(export, seed)
    (export / "broken.dcm").write_bytes(b"nothing")
    reference = tmp_path_factory.mktemp("reference")
    run = begin(export, reference)
    moments = [wait_for(run, reference, sign) for sign in SIGNS]
    assert run.wait() == 0
    return export, sha256_tree(reference / "ward"), [time.monotonic() - moment for moment in moments]


def check_resumes(delivered, tmp_path: Path, moments: int, seed: int) -> None:
    export, whole, working = delivered
    draw = random.Random(seed)
    interrupted = 0
    for number in range(moments):
        cohorts = tmp_path / f"cohorts{number}"
        which = number % len(SIGNS)
        interrupted += killed(export, cohorts, SIGNS[which], draw.uniform(0, 0.9) * working[which])
        if (cohorts / "ward" / "cohort.json").exists():  # the commit point: all that it lists is there
            ledger = read_ledger(cohorts / "ward")
            assert all((cohorts / "ward" / entry.path).is_file() for entry in ledger.entries if entry.is_kept)
        add(export, cohorts)
        assert sha256_tree(cohorts / "ward") == whole
        assert {path.name for path in cohorts.iterdir()} <= {"ward", ".ward.lock"}
        shutil.rmtree(cohorts)
    assert interrupted >= moments / 4  # the others had just ended


def test_a_killed_run_is_completed_by_the_next(delivered, tmp_path):
    check_resumes(delivered, tmp_path, moments=4, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_killed_at_twenty_moments_is_completed_by_the_next(delivered, tmp_path):
    check_resumes(delivered, tmp_path, moments=20, seed=2)


def test_a_killed_extension_leaves_the_cohort_as_it_was_or_complete(delivered, tmp_path):
    """The first delivery stays whole whenever the second is killed."""
    export, _, working = delivered
    more = tmp_path / "more"
    for seed in range(CHILDREN, CHILDREN + 3):
        save_child(more, seed)
    add(export, tmp_path / "cohorts")
    before = sha256_tree(tmp_path / "cohorts" / "ward")
    add(more, tmp_path / "cohorts")
    after = sha256_tree(tmp_path / "cohorts" / "ward")
    assert after != before
    again = tmp_path / "again"
    add(export, again)
    killed(more, again, SIGNS[0], 0.6 * working[0])
    add(more, again)
    assert sha256_tree(again / "ward") == after


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 400 kB; needs the right to mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)],
            capture_output=True,
            text=True,
            check=False,
        )
        if os.geteuid() == 0 and shutil.which("mount")
        else None
    )
    if mounted is None or mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here: run the tests as root with CAP_SYS_ADMIN")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_one_clear_sentence_and_the_next_run_completes(delivered, small_disk, tmp_path):
    export, whole, *_ = delivered
    with pytest.raises(ScintiflowError, match="No space left on device"):
        add(export, small_disk)
    assert not (small_disk / "ward" / "cohort.json").exists()
    roomy = tmp_path / "roomy"
    shutil.copytree(small_disk, roomy)
    add(export, roomy)
    assert sha256_tree(roomy / "ward") == whole
