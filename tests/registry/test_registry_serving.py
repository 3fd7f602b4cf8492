"""`mlflow models serve` on a machine that has what the model asks for and nothing else: no project, no kfp."""

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pytest
from linked_environment import linked_environment
from small_cascade import small_cascade

from scintiflow.registry.champion import CHAMPION
from scintiflow.registry.models import register_model
from scintiflow.registry.surroundings import TRACKING_URI
from scintiflow.restoration.restorer import load_restorer
from scintiflow.tracking import SilentTracker

MINUTES_TO_START = 4


@pytest.fixture
def cascade(tmp_path):
    return small_cascade(tmp_path / "cascade")


def post(port: int, body: dict) -> dict:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.loads(reply.read())


def wait_for(port: int, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60 * MINUTES_TO_START
    while True:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            if urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=30).status == 200:
                return
        assert server.poll() is None, "the server has stopped"
        assert time.monotonic() < deadline, "the server does not start"
        time.sleep(0.5)


def test_the_registered_version_alone_serves_the_same_numbers(cascade, tmp_path, monkeypatch):
    monkeypatch.setenv(TRACKING_URI, f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)  # where MLflow puts the files of a database's runs
    register_model(SilentTracker(), "toy", CHAMPION, cascade, {"gate": "passed"})
    rapid = np.random.default_rng(5).poisson(3.0, (1, 2, 70, 50)).astype(np.uint16)
    before = load_restorer(cascade)(rapid[0], 1.9)

    asked_for = Path(mlflow.artifacts.download_artifacts("models:/toy@champion/requirements.txt")).read_text().split()
    programs = linked_environment(tmp_path / "machine", asked_for)
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    bare |= {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path)}
    absent = "import importlib.util as u; print([n for n in ('scintiflow','kfp','dvc','pydicom') if u.find_spec(n)])"
    found = subprocess.run([programs / "python", "-c", absent], env=bare, capture_output=True, text=True, cwd="/")
    assert found.stdout == "[]\n", found.stderr

    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [programs / "mlflow", "models", "serve", "-m", "models:/toy@champion", "--env-manager", "local"]
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port)], env=bare, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_for(port, server)
            answer = post(port, {"inputs": rapid.tolist(), "params": {"count_ratio": 1.9}})
            other = post(port, {"inputs": rapid.tolist()})
        except AssertionError as error:
            raise AssertionError(f"{error}: {(tmp_path / 'server.log').read_text()[-2000:]}") from None
        finally:
            os.killpg(server.pid, 9)
            server.wait()
    np.testing.assert_allclose(np.array(answer["predictions"])[0], before, rtol=1e-6, atol=1e-6)
    assert not np.allclose(np.array(other["predictions"])[0], before)  # k = 2 where none is given
