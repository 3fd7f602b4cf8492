"""Unfinished work that outlives its process: a folder on a volume, or one that is kept in an S3 bucket.

`SCINTIFLOW_CHECKPOINTS` names either, as a path or as s3://BUCKET/PREFIX. A stage sees a folder in both cases.
"""

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scintiflow.cohorts.s3 import SCHEME, S3Folder
from scintiflow.errors import ScintiflowError
from scintiflow.files import PARTIAL_PREFIX, whole_file

CHECKPOINTS = "SCINTIFLOW_CHECKPOINTS"
SECONDS_BETWEEN_UPLOADS = 10.0


@contextmanager
def unfinished_work(name: str) -> Iterator[Path]:
    """The folder of the work `name`, with what an interrupted attempt left; it is removed if the block succeeds.

    A bucket gets every file that has changed within SECONDS_BETWEEN_UPLOADS, and the last ones when the block fails.
    """
    root = os.environ.get(CHECKPOINTS) or str(Path.cwd() / ".scintiflow" / "checkpoints")
    if root.startswith(SCHEME):
        with _kept_in_bucket(S3Folder(f"{root.rstrip('/')}/{name}")) as folder:
            yield folder
        return
    folder = Path(root) / name
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)  # a stage may have done so


@contextmanager
def _kept_in_bucket(bucket: S3Folder) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        mirror = _Mirror(bucket, Path(scratch) / "work")
        mirror.fetch()
        over = threading.Event()
        uploader = threading.Thread(target=mirror.keep_up, args=(over,), daemon=True)
        uploader.start()
        try:
            yield mirror.folder
        except BaseException:
            over.set()
            uploader.join()
            mirror.upload()
            raise
        over.set()
        uploader.join()
        for name in bucket.names():
            bucket.delete(name)


class _Mirror:
    """Files of a folder in a bucket. Only whole files are looked at: they appear under their names by renaming."""

    def __init__(self, bucket: S3Folder, folder: Path) -> None:
        self._bucket, self.folder = bucket, folder
        self._uploaded: dict[str, tuple[int, int]] = {}

    def fetch(self) -> None:
        self.folder.mkdir()
        for name in self._bucket.names():
            with whole_file(self.folder / name) as partial:
                partial.write_bytes(self._bucket.read(name))
            self._uploaded[name] = _state(self.folder / name)

    def keep_up(self, over: threading.Event) -> None:
        while not over.wait(SECONDS_BETWEEN_UPLOADS):
            self.upload()

    def upload(self) -> None:
        """Upload what has changed. A bucket that fails costs the checkpoint and not the work, and says so."""
        try:
            for path in self._whole_files():
                name, state = path.relative_to(self.folder).as_posix(), _state(path)
                if self._uploaded.get(name) != state:
                    self._bucket.write(name, path.read_bytes())
                    self._uploaded[name] = state
        except FileNotFoundError:  # replaced or removed while it was looked at; the next time is soon
            pass
        except ScintiflowError as error:
            print(f"the checkpoint was not kept: {error}", file=sys.stderr, flush=True)

    def _whole_files(self) -> list[Path]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return [path for path in found if not any(part.startswith(PARTIAL_PREFIX) for part in path.parts)]


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size
