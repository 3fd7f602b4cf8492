"""The node as a whole: receive, restore, send, each in a thread of its own, until it is told to stop.

The threads share nothing but the spool, so that any of them, and the whole process, may end at any moment.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from scintiflow.dicom.derived import ModelIdentity
from scintiflow.dicom.opening import silenced
from scintiflow.errors import ScintiflowError
from scintiflow.node.counters import Counters
from scintiflow.node.delivery import Delivery
from scintiflow.node.health import Condition, answering
from scintiflow.node.reception import receiving
from scintiflow.node.restoration import Restoration, Restore
from scintiflow.node.sending import Sending
from scintiflow.node.spool import Spool
from scintiflow.params import NodeParams

IDLE_SECONDS = 1.0  # between looks into the spool when nobody rings the bell
HANGS_AFTER_SECONDS = 300.0  # at one object
log = logging.getLogger("scintiflow.node")


@dataclass(frozen=True)
class RunningNode:
    """Ports that it listens on, and what it counts."""

    port: int
    health_port: int
    counters: Counters


@contextmanager
def running_node(params: NodeParams, restore: Restore, identity: ModelIdentity) -> Iterator[RunningNode]:
    """The node works while the block runs; at its end it finishes the object in hand, and keeps the rest.

    Args:
        restore: reads a received file and writes the restored object; raises Rejection if it must not.
        identity: of the model behind it; a new champion is used after a restart.

    Raises ScintiflowError if the peer is not named, nobody may send, a port is taken, a certificate cannot be
    used, or another node has the spool.
    """
    if not (params.peer.host and params.peer.ae_title):
        raise ScintiflowError("is not named", where="node.peer", remedy="Give its ae_title, host and port")
    counters, stop, bell = Counters(), threading.Event(), threading.Event()
    delivery = Delivery(params)
    with ExitStack() as stack:
        stack.enter_context(silenced())  # for all threads: their own blocks inside change nothing any more
        spool = stack.enter_context(Spool.opened(Path(params.spool)))
        counters.model.labels(identity.name, identity.version, identity.checkpoint_sha256).set(1)
        log.info("model %s, version %s, SHA-256 %s", identity.name, identity.version, identity.checkpoint_sha256)
        restoration = Restoration(spool, restore, counters)
        sending = Sending(spool, delivery, params, counters)
        threads = [
            _repeated("restoring", restoration.step, stop, bell),
            _repeated("sending", sending.step, stop, None),
        ]
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
        stack.callback(bell.set)
        stack.callback(stop.set)
        health_port = stack.enter_context(
            answering(
                params.health_bind,
                params.health_port,
                lambda: _condition(spool, params, threads, restoration.busy_seconds, counters),
                counters.registry,
            )
        )
        port = stack.enter_context(receiving(params, spool, counters, bell.set))
        log.info("%s listens on %s:%d, health on port %d", params.ae_title, params.bind, port, health_port)
        yield RunningNode(port, health_port, counters)
        log.info("stopping; what waits in the spool goes on with the next start")


def _repeated(
    name: str, step: Callable[[], bool], stop: threading.Event, bell: threading.Event | None
) -> threading.Thread:
    """A thread that repeats a step; `step` says whether there was anything to do."""

    def work() -> None:
        while not stop.is_set():
            try:
                busy = step()
            except Exception as error:
                # the disk, most likely; words from the object must not reach the log
                log.error("%s failed (%s), trying again", name, type(error).__name__)
                busy = False
            if not busy:
                (bell or stop).wait(IDLE_SECONDS)
                if bell is not None:
                    bell.clear()

    return threading.Thread(target=work, name=name)


def _condition(
    spool: Spool, params: NodeParams, threads: list[threading.Thread], busy_seconds: float, counters: Counters
) -> Condition:
    """Able to work: both threads live, none hangs, the disk has room. A peer that is away is no fault of the node's.

    An object that hangs costs a restart by whoever asks for the health, and is set aside after the third.
    """
    items, oldest = spool.counts(), spool.oldest()
    for state, count in items.items():
        counters.waiting.labels(state).set(count)
    counters.oldest.set(0.0 if oldest is None else max(0.0, time.time() - oldest))
    stuck = [f"{thread.name} has stopped" for thread in threads if not thread.is_alive()]
    stuck += ["restoring hangs"] if busy_seconds > HANGS_AFTER_SECONDS else []
    unable = [] if spool.has_room(params.smallest_free_mb) else ["the spool's disk is full"]
    return Condition(stuck, unable, {"items": items})
