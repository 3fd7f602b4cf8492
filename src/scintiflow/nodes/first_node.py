"""What the first node of a TrainJob says, and why it does not start.

Its pod is found by the labels that JobSet and Job put on it. A node that is lost is replaced by a pod of another
name, which is then heard from its first line on.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

import urllib3
from kubernetes import client

from scintiflow.nodes.cluster import Cluster

CONTAINER = "node"  # of the TrainingRuntime
LABELS = "jobset.sigs.k8s.io/jobset-name={name},batch.kubernetes.io/job-completion-index=0"
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_FOR_LAST_WORDS = 10.0


class FirstNode:
    """The pod with index 0 of the job `name`."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._api, self._namespace = client.CoreV1Api(cluster.api), cluster.namespace
        self._selector = LABELS.format(name=name)
        self._lines: dict[str, int] = {}  # heard so far, by the pod's uid
        self._finished: set[str] = set()
        self._reason = ""

    @contextmanager
    def heard(self, sink: TextIO) -> Iterator[None]:
        """Copy the log to `sink` line by line while the block runs. No error of the log ends the block."""
        over = threading.Event()
        listener = threading.Thread(target=self._listen, args=(sink, over), daemon=True)
        listener.start()
        patience = 0.0  # what breaks off the block must not wait
        try:
            yield
            patience = SECONDS_FOR_LAST_WORDS
        finally:
            over.set()
            listener.join(patience)

    def _listen(self, sink: TextIO, over: threading.Event) -> None:
        while True:
            last_look = over.is_set()
            with suppress(client.ApiException, urllib3.exceptions.HTTPError):
                for pod in self._pods():
                    self._hear(pod, sink)
            if last_look:
                return
            over.wait(SECONDS_BETWEEN_LOOKS)

    def _pods(self) -> list[client.V1Pod]:
        found = self._api.list_namespaced_pod(self._namespace, label_selector=self._selector).items
        return sorted(found, key=lambda pod: pod.metadata.creation_timestamp)

    def _hear(self, pod: client.V1Pod, sink: TextIO) -> None:
        """Copy a pod's log to its end; a connection that breaks is taken up where it broke."""
        uid = pod.metadata.uid
        if uid in self._finished:
            return
        if pod.status.phase in (None, "Pending"):
            self._explain(pod, sink)
            return
        log = self._api.read_namespaced_pod_log(
            pod.metadata.name, self._namespace, container=CONTAINER, follow=True, _preload_content=False
        )
        for number, line in enumerate(_lines(log)):
            if number >= self._lines.get(uid, 0):
                print(line, file=sink, flush=True)
                self._lines[uid] = number + 1
        self._finished.add(uid)

    def _explain(self, pod: client.V1Pod, sink: TextIO) -> None:
        """Why the pod waits, each reason once: no node has room, or an image cannot be pulled."""
        conditions = [each.message for each in pod.status.conditions or [] if each.status == "False"]
        waiting = [
            f"{each.state.waiting.reason}: {each.state.waiting.message or ''}"
            for each in pod.status.container_statuses or []
            if each.state.waiting is not None
        ]
        reason = "; ".join(filter(None, waiting + conditions))
        if reason and reason != self._reason:
            self._reason = reason
            print(f"the first node waits: {reason}", file=sink, flush=True)


def _lines(log: urllib3.BaseHTTPResponse) -> Iterator[str]:
    rest = b""
    for piece in log.stream(1024):
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)
    if rest:
        yield rest.decode(errors="replace")
