"""The Kubernetes API as a pod may use it, and what its refusals mean."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import urllib3
from kubernetes import client, config

from scintiflow.errors import ScintiflowError

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
OWN_CONTAINER = "main"  # as Argo calls the container of a step
RETRIES = urllib3.Retry(total=4, backoff_factor=1.0, status_forcelist=(429, 502, 503, 504))

RIGHTS = "Give the step's account what infra/kubernetes gives `pipeline-steps`: --service-account pipeline-steps"
TRAINER = "Install Kubeflow Trainer 2 and apply infra/kubernetes, or set train_cascade.nodes to 1"
REMEDIES = {
    401: "Its token has expired or is not of this cluster",
    403: RIGHTS,
    404: TRAINER,
    409: "Wait for its end, or delete it",
    422: "The sentence names the field; compare infra/kubernetes with the version of Kubeflow Trainer",
}


@dataclass(frozen=True)
class Cluster:
    """A connection. `namespace` is where this pod lives, or that of the kubeconfig's context."""

    api: client.ApiClient
    namespace: str

    @classmethod
    def find(cls, where: str) -> "Cluster":
        """The cluster this runs in, or the one that KUBECONFIG names; `where` is who needs one.

        Raises ScintiflowError where there is none.
        """
        settings = client.Configuration()
        settings.retries = RETRIES
        try:
            if files := os.environ.get("KUBECONFIG"):
                config.load_kube_config(files, client_configuration=settings)
                namespace = config.list_kube_config_contexts(files)[1]["context"].get("namespace", "default")
            else:
                config.load_incluster_config(client_configuration=settings)
                namespace = NAMESPACE_FILE.read_text(encoding="utf-8").strip()
        except config.ConfigException as error:
            raise ScintiflowError(
                f"needs a Kubernetes cluster, and this process is not in one ({error})",
                where=where,
                remedy="Submit the pipeline to a cluster, or set train_cascade.nodes to 1",
            ) from None
        return cls(client.ApiClient(settings), namespace)

    def own_pod(self) -> client.V1Pod | None:
        """The pod this runs in; None outside a cluster."""
        try:
            return client.CoreV1Api(self.api).read_namespaced_pod(os.environ.get("HOSTNAME", "-"), self.namespace)
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise


@contextmanager
def in_words(doing: str) -> Iterator[None]:
    """Turn what the API server refuses, or that it does not answer, into a ScintiflowError."""
    try:
        yield
    except client.ApiException as error:
        raise ScintiflowError(
            f"Kubernetes refuses to {doing}: {_message(error)}",
            where="Kubernetes API",
            remedy=REMEDIES.get(error.status, "A retry of the step may help; else ask the cluster's administrators"),
        ) from None
    except urllib3.exceptions.HTTPError as error:
        raise ScintiflowError(
            f"does not answer while asked to {doing} ({type(error).__name__})",
            where="Kubernetes API",
            remedy="Check that the network policies of the namespace let this pod reach it",
        ) from None


def _message(error: client.ApiException) -> str:
    try:
        return json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"
