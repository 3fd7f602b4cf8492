"""What every test shares: threads kept to one per process, programs that may be missing."""

import os
import shutil

import pytest

# Tests run on all cores already; a second thread per process only fights for them.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

INSTALL_LINES = {
    "chromium": "apt-get install -y chromium",
    "kubectl": "https://kubernetes.io/docs/tasks/tools/ (1.27 or newer; Debian's kubernetes-client is too old)",
}


@pytest.fixture
def program(request):
    """Path of the program that a test names: `parametrize("program", ["chromium"], indirect=True)`.

    Absent: the test skips and prints how to install it; with SCINTIFLOW_NO_SKIP set it fails instead.
    """
    name = request.param
    path = shutil.which(name)
    if path is None:
        sentence = f"{name} is not installed; install it with: {INSTALL_LINES[name]}"
        if os.environ.get("SCINTIFLOW_NO_SKIP"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return path
