"""One TrainJob from its creation to its end, whatever that end is.

Kubeflow Trainer does the launching: it makes the pods of the TrainingRuntime (infra/kubernetes), tells each its
place, and starts them anew if one is lost. Here a job is asked for, watched, heard and removed. A job belongs to
the pod that asked for it, so that Kubernetes removes it even if that pod is killed.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from kubernetes import client, watch
from kubernetes.client import ApiException

from scintiflow.errors import ScintiflowError
from scintiflow.nodes.cluster import OWN_CONTAINER, Cluster, in_words
from scintiflow.nodes.first_node import FirstNode

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
RUNTIME = "scintiflow-torch"
SECONDS_BETWEEN_LOOKS = 5
SECONDS_TO_VANISH = 120.0
GONE = "it was deleted by somebody else"


@dataclass(frozen=True)
class TrainJob:
    """What is asked for. `name` is the work's own: the same work has the same name and is never there twice."""

    name: str
    command: list[str]
    nodes: int
    processes_per_node: int

    def manifest(self, owner: client.V1Pod | None) -> dict[str, Any]:
        """The object; the pod that owns it also lends its image."""
        metadata: dict[str, Any] = {"name": self.name, "labels": {"app.kubernetes.io/part-of": "scintiflow"}}
        trainer: dict[str, Any] = {
            "command": self.command,
            "numNodes": self.nodes,
            "numProcPerNode": self.processes_per_node,
        }
        if owner is not None:
            reference = {"apiVersion": "v1", "kind": "Pod", "name": owner.metadata.name, "uid": owner.metadata.uid}
            metadata["ownerReferences"] = [reference]
            containers = {each.name: each.image for each in owner.spec.containers}
            trainer["image"] = containers.get(OWN_CONTAINER) or next(iter(containers.values()))
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "TrainJob",
            "metadata": metadata,
            "spec": {
                "runtimeRef": {"apiGroup": GROUP, "kind": "TrainingRuntime", "name": RUNTIME},
                "trainer": trainer,
            },
        }


@dataclass(frozen=True)
class Ending:
    """How a job ended: `failure` in Trainer's words, '' for success; whether a SIGTERM ended it."""

    failure: str = ""
    was_told_to_stop: bool = False


class _ToldToStop(BaseException):
    pass


def run_train_job(job: TrainJob, cluster: Cluster, now_and_then: Callable[[], None]) -> Ending:
    """Run the job to its end, print what its first node says, and leave nothing of it behind.

    `now_and_then` is called every few seconds. Raises ScintiflowError where Kubernetes refuses something.
    """
    jobs = _Jobs(cluster)
    with in_words("read the pod of this step"):
        owner = cluster.own_pod()
    jobs.make_room(job.name)
    try:
        with _on_sigterm(_raise_told_to_stop):
            jobs.create(job.manifest(owner))
            with FirstNode(cluster, job.name).heard(sys.stderr):
                return Ending(_watched(jobs, job.name, now_and_then))
    except _ToldToStop:
        return Ending(was_told_to_stop=True)
    finally:
        with _on_sigterm(signal.SIG_IGN):
            jobs.delete(job.name)
        now_and_then()


def _watched(jobs: "_Jobs", name: str, now_and_then: Callable[[], None]) -> str:
    """Wait for the job's last condition; why it failed, or ''."""
    while True:
        for found in jobs.changes(name):
            if found is None:
                return GONE
            conditions = {each["type"]: each for each in found.get("status", {}).get("conditions", [])}
            if conditions.get("Complete", {}).get("status") == "True":
                return ""
            if conditions.get("Failed", {}).get("status") == "True":
                failed = conditions["Failed"]
                return f"{failed.get('reason', 'Failed')}: {failed.get('message', '')}".rstrip(": ")
        now_and_then()


class _Jobs:
    """TrainJobs of the namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self._api, self._pods = client.CustomObjectsApi(cluster.api), client.CoreV1Api(cluster.api)
        self._where = (GROUP, VERSION, cluster.namespace, PLURAL)

    def create(self, manifest: dict[str, Any]) -> None:
        with in_words("create a TrainJob"):
            self._api.create_namespaced_custom_object(*self._where, manifest)

    def get(self, name: str) -> dict[str, Any] | None:
        try:
            return self._api.get_namespaced_custom_object(*self._where, name)
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def changes(self, name: str) -> Iterator[dict[str, Any] | None]:
        """The job as it is, and as it becomes in the next few seconds; None once it is gone."""
        with in_words("watch a TrainJob"):
            found = self.get(name)
            yield found
            if found is None:
                return
            follow = watch.Watch().stream(
                self._api.list_namespaced_custom_object,
                *self._where,
                field_selector=f"metadata.name={name}",
                resource_version=found["metadata"]["resourceVersion"],
                timeout_seconds=SECONDS_BETWEEN_LOOKS,
            )
            with _expired_is_over():
                for event in follow:
                    yield None if event["type"] == "DELETED" else event["object"]

    def make_room(self, name: str) -> None:
        """Remove what an attempt left that was killed. ScintiflowError if whoever asked for it is still there."""
        with in_words("look for a TrainJob"):
            found = self.get(name)
            if found is None:
                return
            for owner in found["metadata"].get("ownerReferences", []):
                if self._is_running(owner["name"], found["metadata"]["namespace"]):
                    raise ScintiflowError(
                        f"the same work is being done for the pod {owner['name']}",
                        where=f"TrainJob {name}",
                        remedy="Wait for its end, or cancel that run",
                    )
        self.delete(name)

    def delete(self, name: str) -> None:
        """Delete the job and wait until its pods are gone, so that nobody but the next attempt writes checkpoints."""
        with in_words("delete a TrainJob"):
            try:
                body = client.V1DeleteOptions(propagation_policy="Foreground")
                self._api.delete_namespaced_custom_object(*self._where, name, body=body)
            except ApiException as error:
                if error.status != 404:
                    raise
            patience = time.monotonic() + SECONDS_TO_VANISH
            while self.get(name) is not None and time.monotonic() < patience:
                time.sleep(0.5)

    def _is_running(self, pod: str, namespace: str) -> bool:
        try:
            return self._pods.read_namespaced_pod(pod, namespace).status.phase == "Running"
        except ApiException as error:
            if error.status == 404:
                return False
            raise


@contextmanager
def _expired_is_over() -> Iterator[None]:
    """A watch that began too long ago (410) ends, and is begun again."""
    try:
        yield
    except ApiException as error:
        if error.status != 410:
            raise


def _raise_told_to_stop(signum: int, frame: FrameType | None) -> None:
    """Break off whatever is being waited for, once."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _ToldToStop


@contextmanager
def _on_sigterm(handler: Any) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python handles signals in that one alone
        yield
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
