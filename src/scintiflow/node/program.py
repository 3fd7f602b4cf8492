"""`scintiflow node` as a process: its log, its signals, its end."""

import logging
import os
import signal
import sys
import threading
from pathlib import Path

from scintiflow.dicom.derived import ModelIdentity
from scintiflow.dicom.whole_body import save_object
from scintiflow.drift.store import Journal
from scintiflow.node.delivery import Delivery
from scintiflow.node.service import running_node
from scintiflow.params import NodeParams, Protocol, WatchParams
from scintiflow.stages.restoring import RestoredScan, open_model, restore_object

log = logging.getLogger("scintiflow.node")


def run_node(params: NodeParams, protocol: Protocol, model: str, watching: WatchParams) -> None:
    """Run until SIGTERM or SIGINT. Raises ScintiflowError if it cannot start, see `service.running_node`."""
    _log_to_stderr()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    opened = open_model(model, os.cpu_count() or 1)
    journal = Journal(Path(watching.folder)) if watching.folder else None

    def restore(source: Path, target: Path) -> tuple[str, ...]:
        restored = restore_object(source, opened, protocol)
        save_object(target, restored.dataset)
        if journal is not None:
            _keep_statistics(journal, restored, opened.identity)
        return restored.objections

    with running_node(params, restore, opened.identity):
        answers = Delivery(params).echo()
        log.info("the peer %s", "answers" if answers else "does not answer; results wait in the spool")
        stop.wait()


def _keep_statistics(journal: Journal, restored: RestoredScan, model: ModelIdentity) -> None:
    """No scan waits because its statistics cannot be kept."""
    try:
        journal.add(restored.scan, restored.counts, restored.count_ratio, model)
    except Exception as error:
        log.error("a scan's statistics could not be kept (%s)", type(error).__name__)


def _log_to_stderr() -> None:
    """One line for each event. The DICOM libraries stay silent: their words quote headers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
