"""What every test shares: threads kept to one per process, programs that may be missing."""

import inspect
import os
import shutil
from collections.abc import Callable, Generator
from functools import partial
from types import SimpleNamespace
from typing import TypeVar

import pytest

# Tests run on all cores already; a second thread per process only fights for them.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

INSTALL_LINES = {
    "chromium": "apt-get install -y chromium",
    "dcmtk": "apt-get install -y dcmtk",
    "orthanc": "apt-get install -y orthanc",
    "postgresql": "apt-get install -y postgresql",
    "dockerd": "apt-get install -y docker.io",
    "mmdebstrap": "apt-get install -y mmdebstrap",
    "kubectl": "https://kubernetes.io/docs/tasks/tools/ (1.27 or newer; Debian's kubernetes-client is too old)",
}

T = TypeVar("T")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """What a test or a fixture leaves in the environment ends with that test.

    MLflow tells every later process of its server through the environment, and monkeypatch knows nothing of that.
    """
    before = dict(os.environ)
    try:
        return (yield)
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def short_stacks() -> Generator[None, None, None]:
    """Pipelines compile in a tenth of the time.

    kfp reads the whole stack, with the source of every frame, each time that a task is told something, to name its
    caller in an error. Below pytest, with every module of the product loaded, that takes most of a compilation.
    """
    from kfp.dsl import pipeline_task

    without_sources = SimpleNamespace(stack=partial(inspect.stack, context=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline_task, "inspect", without_sources)
        yield


@pytest.fixture(scope="session")
def need() -> Callable[[str, T | None], T]:
    """`need("chromium", path)` gives the path back, if there is one.

    Absent: the test skips and prints how to install it; if SCINTIFLOW_NO_SKIP names it, it fails instead.
    """

    def found(name: str, path: T | None) -> T:
        if path is None:
            sentence = f"{name} is not installed; install it with: {INSTALL_LINES[name]}"
            if name in os.environ.get("SCINTIFLOW_NO_SKIP", "").split():
                pytest.fail(sentence)
            pytest.skip(sentence)
        return path

    return found


@pytest.fixture
def program(request, need):
    """Path of the program that a test names: `parametrize("program", ["chromium"], indirect=True)`."""
    return need(request.param, shutil.which(request.param))
