"""Unfinished work is found again by the next attempt, on a volume or in a bucket of a real S3 server."""

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "cohorts"))

from s3_server import new_bucket, s3_server, surroundings

from scintiflow.cohorts.s3 import S3Folder
from scintiflow.errors import ScintiflowError
from scintiflow.stages import checkpoints
from scintiflow.stages.checkpoints import unfinished_work


class KilledError(Exception):
    pass


def fails_half_way(folder: Path) -> None:
    (folder / "last.ckpt").write_bytes(b"step 3")
    (folder / "told").mkdir()
    (folder / "told" / "0.png").write_bytes(b"picture")
    raise KilledError


@pytest.fixture(scope="module")
def endpoint():
    with s3_server() as url:
        yield url


@pytest.fixture(params=["volume", "bucket"])
def place(request, tmp_path, monkeypatch, endpoint):
    """What SCINTIFLOW_CHECKPOINTS names."""
    for name, value in surroundings(endpoint).items():
        monkeypatch.setenv(name, value)
    where = str(tmp_path / "volume") if request.param == "volume" else f"s3://{new_bucket(endpoint)}/checkpoints/"
    monkeypatch.setenv(checkpoints.CHECKPOINTS, where)
    return where


def test_a_failed_attempt_leaves_its_files_to_the_next_and_success_leaves_none(place):
    with pytest.raises(KilledError), unfinished_work("train-1") as folder:
        fails_half_way(folder)
    with unfinished_work("train-2") as folder:
        assert not list(folder.iterdir()), "another work's files"
    with unfinished_work("train-1") as folder:
        assert (folder / "last.ckpt").read_bytes() == b"step 3"
        assert (folder / "told" / "0.png").read_bytes() == b"picture"
        (folder / "last.ckpt").write_bytes(b"step 6")
    with unfinished_work("train-1") as folder:
        assert not list(folder.iterdir())


def holds(bucket: S3Folder, content: bytes) -> bool:
    return bucket.names() == ["last.ckpt"] and bucket.read("last.ckpt") == content


@pytest.mark.parametrize("place", ["bucket"], indirect=True)
def test_a_bucket_gets_whole_files_while_the_work_goes_on(place, monkeypatch):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_UPLOADS", 0.05)
    seen = S3Folder(f"{place}train-1")
    with unfinished_work("train-1") as folder:
        (folder / ".partial-x.ckpt").write_bytes(b"half")
        for content in (b"step 3", b"step 6"):  # what a process leaves that is killed now
            (folder / "last.ckpt").write_bytes(content)
            patience = time.monotonic() + 20
            while (
                seen.names() != ["last.ckpt"] or seen.read("last.ckpt") != content
            ) and time.monotonic() < patience:
                time.sleep(0.05)
            assert seen.names() == ["last.ckpt"]
            assert seen.read("last.ckpt") == content


@pytest.mark.parametrize("place", ["bucket"], indirect=True)
def test_a_bucket_that_fails_later_does_not_end_the_work(place, monkeypatch, capfd):
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_UPLOADS", 0.05)

    def refuse(self, name: str, content: bytes) -> None:
        raise ScintiflowError("cannot write: the bucket is full", where=self.url, remedy="Ask for a larger quota")

    monkeypatch.setattr(S3Folder, "write", refuse)
    with unfinished_work("train-1") as folder:
        (folder / "last.ckpt").write_bytes(b"step 3")
        time.sleep(0.3)
    assert "the bucket is full" in capfd.readouterr().err


@pytest.mark.parametrize("place", ["bucket"], indirect=True)
def test_a_bucket_that_is_not_there_is_refused_at_once(place, monkeypatch):
    monkeypatch.setenv(checkpoints.CHECKPOINTS, "s3://no-such-bucket-of-anyone/checkpoints")
    with pytest.raises(ScintiflowError, match="the bucket does not exist"), unfinished_work("train-1"):
        pass
