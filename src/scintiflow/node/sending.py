"""The step from `restored` to `sent`: patient with a peer that is away, and careful after a crash."""

import logging
import time

from scintiflow.files import sha256_file
from scintiflow.node.counters import Counters
from scintiflow.node.delivery import Answer, Delivery
from scintiflow.node.spool import RESTORED, Refusal, Spool
from scintiflow.params import NodeParams

log = logging.getLogger("scintiflow.node")
_DECLINED = Refusal(
    "PEER_DECLINES",
    "The peer does not accept the restored scan",
    "Look into the peer's log; send the scan again to have it restored and sent again",
)


class Sending:
    """Sends one result at each `step`, the oldest first, with back-off while the peer does not take it."""

    def __init__(self, spool: Spool, delivery: Delivery, params: NodeParams, counters: Counters) -> None:
        self._spool, self._delivery, self._params, self._counters = spool, delivery, params, counters
        self._pause, self._not_before = params.retry_after_seconds, 0.0
        self._declined: dict[str, int] = {}

    def step(self) -> bool:
        """One attempt at the oldest result; False if there is nothing to do now."""
        if time.monotonic() < self._not_before:
            return False
        waiting = self._spool.to_send()
        if not waiting:
            return False
        # what was declined gives way to the others
        key = min(waiting, key=lambda each: self._declined.get(each, 0))
        if self._spool.begun(key).get("in_doubt") and self._confirmed(key):
            return True
        self._spool.begin(key, "sending", in_doubt=True)
        answer = self._delivery.send(self._spool.path(RESTORED, key))
        self._counters.peer_up.set(answer not in (Answer.AWAY, Answer.CUT))
        if answer is Answer.STORED:
            self._settle(key, "acknowledged")
        else:
            if answer is not Answer.CUT:
                self._spool.note(key, in_doubt=False)
            self._put_off(key, answer)
        return True

    def _confirmed(self, key: str) -> bool:
        """Sending was begun and its end is unknown: whether the peer says that it has the object."""
        self._counters.in_doubt.inc()
        if not self._delivery.has(self._spool.path(RESTORED, key)):
            return False
        self._settle(key, "found at the peer")
        return True

    def _settle(self, key: str, outcome: str) -> None:
        attempts = int(self._spool.begun(key).get("sending", 0))
        sha256 = sha256_file(self._spool.path(RESTORED, key))
        self._spool.settle(key, outcome=outcome, attempts=attempts, file_sha256=sha256)
        self._declined.pop(key, None)
        self._pause, self._not_before = self._params.retry_after_seconds, 0.0
        self._counters.sent.inc()
        log.info("%s sent: %s", key, outcome)

    def _put_off(self, key: str, answer: Answer) -> None:
        self._counters.failures.inc()
        if answer is Answer.DECLINED:
            self._declined[key] = self._declined.get(key, 0) + 1
            if self._declined[key] >= self._params.largest_tries:
                del self._declined[key]
                self._spool.refuse(key, _DECLINED)
                self._counters.refused.labels(_DECLINED.code).inc()
                log.error("%s refused: %s", key, _DECLINED.code)
                return
        pause = min(self._pause, self._params.retry_at_most_seconds)
        self._pause = pause * self._params.retry_factor
        self._not_before = time.monotonic() + pause
        log.warning("%s not sent: %s; next attempt in %.0f s", key, answer.value, pause)
