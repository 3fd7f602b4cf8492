"""A Kubeflow Pipelines API server on this machine, and connections to it."""

from pathlib import Path

import pytest
from kfp_api_server import KfpApiServer

from scintiflow.cluster.compilation import cluster_arguments, compile_retrain
from scintiflow.cluster.connection import Connection
from scintiflow.cluster.endpoint import find_endpoint
from scintiflow.params import load_params

ROOT = Path(__file__).parents[2]
VARIABLES = (
    "KF_PIPELINES_ENDPOINT",
    "KF_PIPELINES_UI_ENDPOINT",
    "KF_PIPELINES_SA_TOKEN_PATH",
    "KUBERNETES_SERVICE_HOST",
    "SCINTIFLOW_KFP_TOKEN",
    "SCINTIFLOW_KFP_COOKIE",
    "SCINTIFLOW_KFP_CA",
    "SCINTIFLOW_KFP_NAMESPACE",
)


@pytest.fixture(autouse=True)
def _no_endpoint_from_outside(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with KfpApiServer() as running:
        yield running


@pytest.fixture
def connection(server):
    return Connection(find_endpoint(host=server.url))


@pytest.fixture(scope="session")
def production():
    return load_params(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def package(production, tmp_path_factory):
    """The retrain pipeline, compiled."""
    target = tmp_path_factory.mktemp("package") / "retrain.yaml"
    compile_retrain(target, production)
    return target


@pytest.fixture(scope="session")
def arguments(production):
    return cluster_arguments(production, {"cohorts": "c0", "truth": "7u"}, registry="one")
