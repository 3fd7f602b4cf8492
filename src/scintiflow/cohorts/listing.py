"""The files of a tracked folder at one revision, by hash, and their transfer: checked, tried again, in parallel."""

import hashlib
import json
import tempfile
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from scintiflow import progress
from scintiflow.errors import ScintiflowError

ATTEMPTS = 3
LONGER_EACH_TIME = 1.0  # seconds that the wait before an attempt grows by
TRANSFERS_AT_ONCE = 8


class CannotFetchError(ScintiflowError):
    """A file, or the list of files, does not arrive unaltered."""


class Listing:
    """The files of a folder at one revision. `hashes`: MD5 of each, by path inside the folder; {} if DVC has none.

    DVC's listing of the folder is read itself: its file system asks an index about each file, which takes minutes
    for thousands of them.
    """

    def __init__(self, repo: Any, folder: Path, where: str) -> None:
        self._repo, self._where = repo, where
        self._stores = [
            repo.cache.local,
            *([repo.cloud.get_remote_odb()] if repo.config["core"].get("remote") else []),
        ]
        self.hashes: dict[str, str] = {}
        pointer = self.tracked_by_git(folder.with_name(f"{folder.name}.dvc"))
        if pointer is not None:
            (out,) = yaml.safe_load(pointer)["outs"]
            with tempfile.TemporaryDirectory() as scratch:
                self._fetch_object(out["md5"], Path(scratch) / "listing", where)
                entries = json.loads((Path(scratch) / "listing").read_bytes())
            self.hashes = {entry["relpath"]: entry["md5"] for entry in entries}

    def read(self, path: str) -> bytes:
        """The content of one file. Raises ScintiflowError if it is not what its hash says."""
        if path not in self.hashes:
            raise CannotFetchError(
                "there is no such file", where=f"{self._where}/{path}", remedy="Check the revision"
            )
        with tempfile.TemporaryDirectory() as scratch:
            self._fetch_object(self.hashes[path], Path(scratch) / "file", f"{self._where}/{path}")
            return (Path(scratch) / "file").read_bytes()

    def tracked_by_git(self, path: Path) -> bytes | None:
        """The content of a file of the project that git tracks and DVC does not; None if there is none."""
        files = self._repo.fs
        name = files.join(self._repo.root_dir, *path.parts)
        return files.cat_file(name) if files.isfile(name) else None

    def fetch(self, paths: Collection[str], folder: Path) -> None:
        """Transfer files into `folder`; each is tried again when the line breaks or its hash is wrong.

        Raises ScintiflowError if one of them cannot be had.
        """
        with ThreadPoolExecutor(TRANSFERS_AT_ONCE) as pool, progress.work("fetching", len(paths)) as bar:
            try:
                named = [(self.hashes[path], folder / path, f"{self._where}/{path}") for path in sorted(paths)]
                for _ in pool.map(lambda each: self._fetch_object(*each), named):
                    bar.advance()
            except BaseException:
                pool.shutdown(cancel_futures=True)  # the others would only fail, one after the other
                raise

    def unaltered(self, paths: Collection[str], folder: Path) -> bool:
        """True if `folder` holds these files with the right content."""
        return all((folder / path).is_file() and _md5(folder / path) == self.hashes[path] for path in paths)

    def _fetch_object(self, md5: str, target: Path, where: str) -> None:
        """From the cache, else from the remote."""
        target.parent.mkdir(parents=True, exist_ok=True)
        trouble = ""
        for attempt in range(ATTEMPTS):
            time.sleep(attempt * LONGER_EACH_TIME)
            for store in self._stores:
                try:
                    store.fs.get_file(store.oid_to_path(md5), str(target))
                except Exception as error:  # each of DVC's file systems raises its own kinds
                    trouble = str(error) or type(error).__name__
                    continue
                if _md5(target) == md5.removesuffix(".dir"):
                    return
                trouble = "its content is not what its hash says"
        raise CannotFetchError(
            f"cannot be fetched: {trouble}",
            where=where,
            remedy="Whoever added it must `dvc push` it; try the remote with `scintiflow remote check --read-only`",
        )


def _md5(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "md5").hexdigest()
