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
from scintiflow.restoration.model_folder import description_of
from scintiflow.restoration.onnx_graph import TOLERANCE, export_graph
from scintiflow.restoration.restorer import load_restorer
from scintiflow.restoration.runtime import open_restorer
from scintiflow.tracking import SilentTracker

MINUTES_TO_START = 4


@pytest.fixture
def cascade(tmp_path):
    folder = small_cascade(tmp_path / "cascade")
    export_graph(folder)
    return folder


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
    patch = int(description_of(cascade)["patch_pixels"])  # a graph restores what is larger, torch the rest
    small, large = (
        np.random.default_rng(5).poisson(3.0, (1, 2, rows, columns)).astype(np.uint16)
        for rows, columns in ((70, 50), (patch + 40, patch + 8))
    )
    restore = open_restorer(cascade)  # as `scintiflow restore` does
    in_torch = load_restorer(cascade)(large[0], 1.9)
    assert not np.array_equal(restore(large[0], 1.9), in_torch)  # so that it shows which of them serves

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
            answers = [
                post(port, {"inputs": rapid.tolist(), "params": {"count_ratio": 1.9}})["predictions"][0]
                for rapid in (small, large)
            ]
            other = post(port, {"inputs": small.tolist()})
        except AssertionError as error:
            raise AssertionError(f"{error}: {(tmp_path / 'server.log').read_text()[-2000:]}") from None
        finally:
            os.killpg(server.pid, 9)
            server.wait()
    for rapid, answer in zip((small, large), answers, strict=True):
        np.testing.assert_array_equal(np.array(answer, np.float32), restore(rapid[0], 1.9))
    difference = np.abs(np.array(answers[1]) - in_torch) / (1 + np.abs(in_torch))
    assert difference.max() <= TOLERANCE
    assert not np.allclose(np.array(other["predictions"])[0], answers[0])  # k = 2 where none is given
