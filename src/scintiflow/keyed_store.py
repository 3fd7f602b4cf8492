"""Computed files, kept beyond a run and found again by what they depend on.

A file lies at `<store>/<first two digits of key>/<key>-<sha256>.npz`: the key says what it was computed
from, the SHA-256 what is in it. There is no index that writers could disagree about:
a file appears whole, by renaming, and a reader believes only a file whose content has the SHA-256 in its
name. So any number of runs may share a store, and it may be deleted at any time.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from scintiflow.files import PARTIAL_PREFIX, sha256_file


class KeyedStore:
    """A folder of .npz files, shared by all runs that name it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, key: str) -> Path | None:
        """The file with this key; None if there is none, or none undamaged (`put` will write it anew)."""
        for path in self._files(key):
            if sha256_file(path) == path.stem.split("-")[1]:
                return path
        return None

    def put(self, key: str, write: Callable[[Path], None]) -> Path:
        """Store what `write` writes to the path that it is given; another writer of the same does no harm."""
        shelf = self._shelf(key)
        shelf.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=PARTIAL_PREFIX, dir=shelf) as scratch:
            written = Path(scratch) / "entry.npz"
            write(written)
            final = shelf / f"{key}-{sha256_file(written)}.npz"
            written.replace(final)
        return final

    def remove(self, key: str) -> None:
        """Forget this key."""
        for path in self._files(key):
            path.unlink(missing_ok=True)

    def _files(self, key: str) -> list[Path]:
        return sorted(self._shelf(key).glob(f"{key}-*.npz"))

    def _shelf(self, key: str) -> Path:
        return self.folder / key[:2]
