"""What every test shares: threads kept to one per process, programs that may be missing."""

import os
import shutil
from collections.abc import Callable
from typing import TypeVar

import pytest

# Tests run on all cores already; a second thread per process only fights for them.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

INSTALL_LINES = {"chromium": "apt-get install -y chromium", "postgresql": "apt-get install -y postgresql"}

T = TypeVar("T")


@pytest.fixture(scope="session")
def need() -> Callable[[str, T | None], T]:
    """`need("chromium", path)` gives the path back, if there is one.

    Absent: the test skips and prints how to install it; with SCINTIFLOW_NO_SKIP set it fails instead.
    """

    def found(name: str, path: T | None) -> T:
        if path is None:
            sentence = f"{name} is not installed; install it with: {INSTALL_LINES[name]}"
            if os.environ.get("SCINTIFLOW_NO_SKIP"):
                pytest.fail(sentence)
            pytest.skip(sentence)
        return path

    return found


@pytest.fixture
def program(request, need):
    """Path of the program that a test names: `parametrize("program", ["chromium"], indirect=True)`."""
    return need(request.param, shutil.which(request.param))
