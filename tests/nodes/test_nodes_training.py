"""The stage trains on two nodes: Kubernetes over HTTP, Trainer's environment, real processes, one tracker."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from kubernetes_api_server import KubernetesApiServer

from scintiflow.errors import ScintiflowError

sys.path.insert(0, str(Path(__file__).parents[1] / "restoration"))  # the little cohort of the training tests

from test_restoration_processes import RememberingTracker, rows
from test_restoration_training import recipe, written_dataset

from scintiflow.stages import train_cascade

ROOT = Path(__file__).parents[2]


class Trainer:
    """Kubeflow Trainer as far as a node sees it: each gets the job's command and the PET_ variables of its torch
    plugin, which torch's launcher reads in place of options. The log of a pod is what the process prints."""

    def __init__(self, server: KubernetesApiServer, volume: Path) -> None:
        self.server, self.volume = server, volume

    def __call__(self, name: str) -> None:
        trainer = self.server.get_job(name)["spec"]["trainer"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | {
            "PATH": path,
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "SCINTIFLOW_CHECKPOINTS": str(self.volume),
            "PET_NNODES": str(trainer["numNodes"]),
            "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
            "PET_MASTER_ADDR": "127.0.0.1",
            "PET_MASTER_PORT": str(port),
        }
        nodes = [
            subprocess.Popen(
                trainer["command"],
                env=environment | {"PET_NODE_RANK": str(node)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for node in range(trainer["numNodes"])
        ]
        for number in range(len(nodes)):
            self.server.add_node(name, f"{name}-node-0-{number}", index=number)
        for number, node in enumerate(nodes):
            self.server.say(f"{name}-node-0-{number}", node.communicate()[0])
            self.server.set_phase(f"{name}-node-0-{number}", "Failed" if node.returncode else "Succeeded")
        if any(node.returncode for node in nodes):
            self.server.set_condition(name, "Failed", "FailedJobs", "jobset failed due to one or more job failures")
        else:
            self.server.set_condition(name, "Complete", "JobsCompleted", "")


@pytest.fixture
def server(tmp_path, monkeypatch):
    with KubernetesApiServer() as running:
        monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig(tmp_path / "config")))
        yield running


def test_the_stage_trains_on_two_nodes_and_leaves_nothing_but_its_output(server, tmp_path, monkeypatch, capfd):
    volume = tmp_path / "checkpoints"
    monkeypatch.setenv("SCINTIFLOW_CHECKPOINTS", str(volume))
    server.controller = Trainer(server, volume)
    inputs = written_dataset(tmp_path)
    tracker = RememberingTracker()
    outputs = train_cascade.Outputs(tmp_path / "cascade", volume / "train_cascade-1")
    report = train_cascade.run(recipe(steps=2, nodes=2), inputs, outputs, tracker)

    assert server.created[0]["spec"]["trainer"]["numNodes"] == 2
    assert [row["step"] for row in rows(tmp_path / "cascade")] == ["1", "2"]
    assert list(tracker.rows) == [1, 2]
    assert report["steps_trained"] == 2
    assert "Train the cascade: 2/2" in capfd.readouterr().err
    assert not server.jobs
    assert list(volume.iterdir()) == []


def test_nodes_without_a_common_volume_are_refused(server, tmp_path, monkeypatch):
    monkeypatch.delenv("SCINTIFLOW_CHECKPOINTS", raising=False)
    inputs, outputs = written_dataset(tmp_path), train_cascade.Outputs(tmp_path / "cascade")
    with pytest.raises(ScintiflowError, match="a folder that all of them mount"):
        train_cascade.run(recipe(nodes=2), inputs, outputs, RememberingTracker())
    assert not server.created
