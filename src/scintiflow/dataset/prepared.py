"""What takes long for a pair, registering and packing; other pods may do it ahead of the ingest step.

They leave it in a store on a volume that all of them mount, keyed by everything that it depends on. The ingest step
does the same with what it finds as with what it makes itself, so the data set cannot depend on who did the work.
"""

import hashlib
import io
import json
import zlib
from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import scipy

from scintiflow.dataset import registration, study
from scintiflow.dataset.registration import Registration
from scintiflow.dataset.study import Pair, packed_bytes
from scintiflow.keyed_store import KeyedStore


@dataclass(frozen=True)
class PreparedPair:
    """`registered`: one for each view, or one for all planes of a picture; `packed`: content of the study's file."""

    registered: tuple[Registration, ...]
    packed: bytes

    def save(self, path: Path) -> None:
        registered = np.array([astuple(view) for view in self.registered])
        np.savez(path, packed=np.frombuffer(self.packed, np.uint8), registered=registered)

    @classmethod
    def load(cls, content: bytes) -> "PreparedPair":
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            registered = tuple(Registration(*map(float, row)) for row in found["registered"])
            return cls(registered, found["packed"].tobytes())


@dataclass(frozen=True)
class Preparation:
    """How a source's pairs are prepared, and where prepared ones may lie.

    Attributes:
        register: counts of both scans, uint16 `[view, row, column]`, to their registration.
        ahead: store of pairs prepared by others; None if there are none.
    """

    register: Callable[[np.ndarray, np.ndarray], tuple[Registration, ...]]
    ahead: KeyedStore | None = None

    def prepared(self, hashes: tuple[str, str], read: Callable[[], Pair]) -> PreparedPair:
        """The pair whose counts have these SHA-256 (rapid, standard); `read` is called if nobody has prepared it."""
        return self._found(hashes) or self._made(read())

    def prepare_ahead(self, hashes: tuple[str, str], read: Callable[[], Pair]) -> bool:
        """Leave the pair in the store; False if it was there."""
        if self.ahead is None or self._found(hashes):
            return False
        self.ahead.put(self._key(hashes), self._made(read()).save)
        return True

    def forget(self, hashes: tuple[str, str]) -> None:
        """Remove the pair from the store, which is a place of transfer and keeps nobody's scans."""
        if self.ahead is not None:
            self.ahead.remove(self._key(hashes))

    def _made(self, pair: Pair) -> PreparedPair:
        return PreparedPair(self.register(pair.rapid, pair.standard), packed_bytes(pair))

    def _found(self, hashes: tuple[str, str]) -> PreparedPair | None:
        try:
            path = self.ahead.find(self._key(hashes)) if self.ahead is not None else None
            return None if path is None else PreparedPair.load(path.read_bytes())
        except FileNotFoundError:  # another run took the same pair over at this moment
            return None

    def _key(self, hashes: tuple[str, str]) -> str:
        depends_on = [*hashes, self.register.__module__, self.register.__qualname__, _code_sha256()]
        return hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()


@cache
def _code_sha256() -> str:
    digest = hashlib.sha256(f"{np.__version__} {scipy.__version__} {zlib.ZLIB_RUNTIME_VERSION}".encode())
    for module in (registration, study):
        assert module.__file__ is not None
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()
