"""The step from `received` to `restored` or `refused`."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from scintiflow.counts import counts_sha256
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.reasons import Reason, Rejection
from scintiflow.node.counters import Counters
from scintiflow.node.spool import RECEIVED, RESTORED, Refusal, Spool

MOST_STARTS = 3  # a restart may cut one off; an object that ends the program every time must not do so for ever
# scan -> restored object, whole or not at all, and the words that mark it if its counts contradict it; Rejection if
# it must not be restored
Restore = Callable[[Path, Path], Sequence[str]]
log = logging.getLogger("scintiflow.node")


class Restoration:
    """Restores one waiting object at each `step`."""

    def __init__(self, spool: Spool, restore: Restore, counters: Counters) -> None:
        self._spool, self._restore_file, self._counters = spool, restore, counters
        self._began: float | None = None

    @property
    def busy_seconds(self) -> float:
        """How long the object in hand has been worked on; 0 if there is none."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def step(self) -> bool:
        """Restore the object that waits longest; False if there is none."""
        waiting = self._spool.to_restore()
        if not waiting:
            return False
        key = waiting[0]
        before = self._spool.begin(key, "restoring")
        if before >= MOST_STARTS:
            self._refuse(key, _STOPS_THE_PROGRAM)
            return True
        self._began = started = time.monotonic()
        try:
            self._restore(key)
        except Rejection as rejection:
            self._refuse(key, Refusal(rejection.code, rejection.reason.sentence, rejection.reason.remedy))
        except OSError:  # the disk's fault, not the object's
            self._spool.note(key, restoring=before)
            raise
        except Exception as error:
            self._refuse(key, _fault(error))
        else:
            self._counters.seconds.observe(time.monotonic() - started)
        finally:
            self._began = None
        return True

    def _restore(self, key: str) -> None:
        path = self._spool.path(RECEIVED, key)
        content = counts_sha256(read_scan(path).counts)
        for notes in self._spool.relatives(key).values():
            if notes["counts_sha256"] != content:
                raise Rejection(Reason.UID_COLLISION)
            # the same scan in another encoding: its result is on the way, or there
            self._counters.repeated.inc()
            self._spool.note(key, counts_sha256=content)
            self._spool.settle(key, outcome="repeated")
            log.info("%s is a scan that came before, encoded in another way", key)
            return
        self._spool.note(key, counts_sha256=content)
        objections = self._restore_file(path, self._spool.path(RESTORED, key))
        self._counters.restored.inc()
        log.info("%s restored", key)
        if objections:
            self._counters.contradicted.inc()
            log.warning("%s is marked, the measured counts contradict it: %s", key, "; ".join(objections))

    def _refuse(self, key: str, refusal: Refusal) -> None:
        self._spool.refuse(key, refusal)
        self._counters.refused.labels(refusal.code).inc()
        log.warning("%s refused: %s", key, refusal.code)


_STOPS_THE_PROGRAM = Refusal(
    "STOPS_THE_PROGRAM",
    f"The node was stopped {MOST_STARTS} times while it worked on this object",
    "Look at it with `scintiflow cohort inspect`; send it again to have it tried again",
)


def _fault(error: Exception) -> Refusal:
    return Refusal(
        "FAULT",
        f"The program failed at this object ({type(error).__name__})",
        "Report it with the node's version; send the object again after an update",
    )
