"""The node's memory: folders in which every scan is in exactly one state, whenever the node is killed.

    received/KEY.dcm   as it came; stays until the peer has the result
    restored/KEY.dcm   the result; stays until the peer has it
    begun/KEY.json     how often restoring and sending were begun: what a crash leaves behind
    sent/KEY.json      the peer has the result; stays for good and holds no identity
    refused/KEY.dcm    what cannot be restored or delivered, with KEY.json: why, and what to do

KEY is made of the SHA-256 of the SOP instance UID and of the object's bytes, so the same object is one item however
often it comes. A file gets its name when it is complete and on the disk (`files.whole_file`). A step writes what it
has reached before it removes what it came from, and `Spool.recover` ends what a crash cut off:

- answered with success = in `received/` or beyond: nothing that was accepted is lost;
- a record in `sent/` = never sent again;
- `begun` says that sending is in doubt (begun, and no answer came): nobody but the peer can know whether it has the
  object. `delivery` asks it; if it cannot say, the same bytes go out again under the same SOP instance UID.
"""

import hashlib
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from scintiflow.errors import ScintiflowError
from scintiflow.files import PARTIAL_PREFIX, read_json, sync_folder, whole_file, write_json

RECEIVED, RESTORED, BEGUN, SENT, REFUSED = "received", "restored", "begun", "sent", "refused"
FOLDERS = (RECEIVED, RESTORED, BEGUN, SENT, REFUSED)
UID_DIGITS, CONTENT_DIGITS = 32, 16
Work = Literal["restoring", "sending"]


@dataclass(frozen=True)
class Refusal:
    """Why an item went to `refused/`: fixed words, nothing from the object."""

    code: str
    sentence: str
    remedy: str


class Spool:
    """See the module. Only one at a time may be open on a folder: `opened`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._moving = threading.Lock()  # an object may come again in the very moment in which it is refused
        for name in FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # patients' scans lie here

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator["Spool"]:
        """The spool in `folder`, made if absent, recovered, and locked while the block runs.

        Raises ScintiflowError if another node has it.
        """
        spool = cls(folder)
        try:
            with FileLock(folder / "spool.lock", timeout=0):
                spool.recover()
                yield spool
        except Timeout:
            raise ScintiflowError(
                "another node works on this spool", where=folder, remedy="Stop it, or give node.spool another folder"
            ) from None

    def has_room(self, smallest_free_mb: float) -> bool:
        """Whether its disk has so much left."""
        return shutil.disk_usage(self.folder).free >= smallest_free_mb * 1e6

    def path(self, state: str, key: str) -> Path:
        suffix = ".json" if state in (BEGUN, SENT) else ".dcm"
        return self.folder / state / f"{key}{suffix}"

    def receive(self, instance_uid: str, dataset: bytes, part_10: bytes) -> str | None:
        """Keep an object for good before the sender is told so.

        Args:
            dataset: as it came, without file meta information.
            part_10: the same as a file.

        Returns its key; None if it is there already, or was sent. What was refused is tried again.
        """
        key = key_of(instance_uid, dataset)
        if self.path(RECEIVED, key).exists() or self.path(SENT, key).exists():
            return None
        with self._moving:
            with whole_file(self.path(RECEIVED, key)) as partial:
                partial.write_bytes(part_10)
            self._remove(self._reason(key), self.path(REFUSED, key))
        return key

    def to_restore(self) -> list[str]:
        """Keys of what waits to be restored, the oldest first."""
        return [
            key
            for key in self._keys(RECEIVED)
            if not self.path(RESTORED, key).exists() and not self.path(SENT, key).exists()
        ]

    def to_send(self) -> list[str]:
        """Keys of results that wait for the peer, the oldest first."""
        return [key for key in self._keys(RESTORED) if not self.path(SENT, key).exists()]

    def begin(self, key: str, work: Work, **notes: str | bool) -> int:
        """Note that a work begins; returns how often it was begun before."""
        before = int(self.begun(key).get(work, 0))
        self.note(key, **notes, **{work: before + 1})
        return before

    def note(self, key: str, **notes: str | int) -> None:
        """Keep something of an item while it is in the spool."""
        write_json(self.path(BEGUN, key), {**self.begun(key), **notes})

    def begun(self, key: str) -> dict[str, Any]:
        """What was noted of an item; {} if nothing was begun."""
        path = self.path(BEGUN, key)
        return read_json(path) if path.exists() else {}

    def relatives(self, key: str) -> dict[str, dict[str, Any]]:
        """Other items with the same SOP instance UID and other bytes that have been restored: notes by key."""
        pattern = f"{key[:UID_DIGITS]}-*.json"
        found = {
            path.stem: read_json(path) for state in (BEGUN, SENT) for path in (self.folder / state).glob(pattern)
        }
        return {other: notes for other, notes in found.items() if other != key and "counts_sha256" in notes}

    def settle(self, key: str, **record: str | int) -> None:
        """The peer has it: write the record, then forget the scan."""
        notes = {"counts_sha256": self.begun(key).get("counts_sha256", ""), "day": f"{datetime.now(UTC):%Y-%m-%d}"}
        write_json(self.path(SENT, key), {**notes, **record})
        self._forget(key)

    def refuse(self, key: str, refusal: Refusal) -> None:
        """Set the original aside with the reason; a result, if there is one, can be made again."""
        with self._moving:
            write_json(self._reason(key), vars(refusal))
            self._set_aside(key)

    def recover(self) -> None:
        """End what a crash cut off. Only for whoever holds the lock."""
        for state in FOLDERS:
            for partial in (self.folder / state).glob(f"{PARTIAL_PREFIX}*"):
                partial.unlink()
        for key in {*self._keys(RECEIVED), *self._keys(RESTORED), *self._keys(BEGUN)}:
            if self.path(SENT, key).exists():
                self._forget(key)
            elif self._reason(key).exists():
                self._set_aside(key)
            elif not self.path(RECEIVED, key).exists() and not self.path(RESTORED, key).exists():
                self._remove(self.path(BEGUN, key))

    def counts(self) -> dict[str, int]:
        """How many items wait or lie in each state that an operator must know of."""
        return {
            RECEIVED: len(self.to_restore()),
            RESTORED: len(self.to_send()),
            REFUSED: len(self._keys(REFUSED)),
        }

    def oldest(self) -> float | None:
        """When the object that waits longest came, seconds since 1970; None if nothing waits."""
        keys = self._keys(RECEIVED)
        return _modified(self.path(RECEIVED, keys[0])) if keys else None

    def _keys(self, state: str) -> list[str]:
        suffix = self.path(state, "x").suffix
        paths = [
            path for path in (self.folder / state).glob(f"*{suffix}") if not path.name.startswith(PARTIAL_PREFIX)
        ]
        return [path.stem for path in sorted(paths, key=lambda path: (_modified(path), path.name))]

    def _reason(self, key: str) -> Path:
        return self.folder / REFUSED / f"{key}.json"

    def _forget(self, key: str) -> None:
        self._remove(self.path(RESTORED, key), self.path(RECEIVED, key), self.path(BEGUN, key))

    def _set_aside(self, key: str) -> None:
        if self.path(RECEIVED, key).exists():
            self.path(RECEIVED, key).replace(self.path(REFUSED, key))
            sync_folder(self.folder / REFUSED)
            sync_folder(self.folder / RECEIVED)
        self._remove(self.path(RESTORED, key), self.path(BEGUN, key))

    def _remove(self, *paths: Path) -> None:
        for path in paths:
            if path.exists():
                path.unlink()
                sync_folder(path.parent)


def key_of(instance_uid: str, dataset: bytes) -> str:
    """Name of an object in the spool: no identity, no character that a path must not have."""
    uid = hashlib.sha256(instance_uid.encode()).hexdigest()[:UID_DIGITS]
    return f"{uid}-{hashlib.sha256(dataset).hexdigest()[:CONTENT_DIGITS]}"


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # the other thread has just moved it on
        return 0.0
