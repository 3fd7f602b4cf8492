"""A TrainJob is asked for, watched, heard and removed, over the real REST paths of Kubernetes."""

import os
import signal
import threading
import time

import pytest
from kubernetes_api_server import NAMESPACE, KubernetesApiServer

from scintiflow.errors import ScintiflowError
from scintiflow.nodes import first_node, train_job
from scintiflow.nodes.cluster import Cluster
from scintiflow.nodes.train_job import Ending, TrainJob, run_train_job

JOB = TrainJob("train-cascade-1", ["python", "-m", "work"], nodes=2, processes_per_node=4)


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(first_node, "SECONDS_BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr(train_job, "SECONDS_BETWEEN_LOOKS", 1)
    with KubernetesApiServer() as running:
        monkeypatch.setenv("KUBECONFIG", str(running.kubeconfig(tmp_path / "config")))
        monkeypatch.setenv("HOSTNAME", "step-pod")
        running.add_pod(
            "step-pod", {}, containers=[{"name": "wait", "image": "argo"}, {"name": "main", "image": "us:1"}]
        )
        yield running


def run(job: TrainJob = JOB, now_and_then=lambda: None) -> Ending:
    return run_train_job(job, Cluster.find("nodes"), now_and_then)


def succeeding(server, *lines: str):
    def controller(name: str) -> None:
        server.add_node(name, f"{name}-node-0-0-abcde")
        server.add_node(name, f"{name}-node-0-1-fghij", index=1)
        for line in lines:
            server.say(f"{name}-node-0-0-abcde", line)
            server.say(f"{name}-node-0-1-fghij", "the second node says nothing worth hearing\n")
        server.set_phase(f"{name}-node-0-0-abcde", "Succeeded")
        server.set_condition(name, "Complete", "JobsCompleted", "jobset completed successfully")

    return controller


def test_a_job_is_asked_for_as_trainer_wants_it_and_belongs_to_the_pod_that_asked(server):
    server.controller = succeeding(server)
    assert run() == Ending()
    (asked,) = server.created
    assert asked["spec"] == {
        "runtimeRef": {"apiGroup": "trainer.kubeflow.org", "kind": "TrainingRuntime", "name": "scintiflow-torch"},
        "trainer": {"image": "us:1", "command": ["python", "-m", "work"], "numNodes": 2, "numProcPerNode": 4},
    }
    (owner,) = asked["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == (
        "Pod",
        "step-pod",
        server.pods["step-pod"]["metadata"]["uid"],
    )


def test_nothing_is_left_of_a_job_that_ended(server):
    server.controller = succeeding(server)
    run()
    assert server.deleted == [(JOB.name, "Foreground")]
    assert not server.jobs


def test_the_first_node_is_heard_line_by_line_and_the_others_are_not(server, capsys):
    server.controller = succeeding(
        server, "Train the cascade: 1/2\n", "Train the ", "cascade: 2/2\n", "no line's end"
    )
    run()
    heard = capsys.readouterr().err
    assert heard == "Train the cascade: 1/2\nTrain the cascade: 2/2\nno line's end\n"


def test_a_node_that_was_replaced_is_heard_as_well(server, capsys):
    def controller(name: str) -> None:
        server.add_node(name, "first-pod")
        server.say("first-pod", "step 1\n")
        server.set_phase("first-pod", "Failed")
        time.sleep(0.3)
        server.add_node(name, "second-pod")
        server.say("second-pod", "resumed\n")
        server.set_phase("second-pod", "Succeeded")
        server.set_condition(name, "Complete", "JobsCompleted", "")

    server.controller = controller
    assert run() == Ending()
    assert capsys.readouterr().err == "step 1\nresumed\n"


def test_a_failed_job_says_why_in_trainers_words(server):
    def controller(name: str) -> None:
        server.set_condition(name, "Failed", "FailedJobs", "jobset failed due to one or more job failures")

    server.controller = controller
    assert run() == Ending("FailedJobs: jobset failed due to one or more job failures")
    assert not server.jobs


def test_a_job_that_somebody_deletes_has_failed(server):
    server.controller = lambda name: server.delete_job(name, {})
    assert run() == Ending("it was deleted by somebody else")


def test_why_a_node_does_not_start_is_said_once(server, capsys):
    def controller(name: str) -> None:
        pod = server.add_node(name, "pod", phase="Pending")
        no_room = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes have enough nvidia.com/gpu"}
        server.set_phase("pod", "Pending", conditions=[no_room])
        time.sleep(0.5)
        pod["status"] = {"phase": "Succeeded"}
        server.set_condition(name, "Complete", "JobsCompleted", "")

    server.controller = controller
    run()
    assert capsys.readouterr().err == "the first node waits: 0/3 nodes have enough nvidia.com/gpu\n"


def test_work_goes_on_between_two_looks(server):
    beats = []

    def controller(name: str) -> None:
        time.sleep(2.5)
        server.set_condition(name, "Complete", "JobsCompleted", "")

    server.controller = controller
    run(now_and_then=lambda: beats.append(time.monotonic()))
    assert len(beats) >= 3


def test_a_sigterm_removes_the_job_and_is_reported(server):
    def controller(name: str) -> None:
        server.add_node(name, "pod")
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()

    server.controller = controller
    before = signal.getsignal(signal.SIGTERM)
    assert run() == Ending(was_told_to_stop=True)
    assert not server.jobs
    assert not [pod for pod in server.pods if pod != "step-pod"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_a_killed_attempt_left_is_removed_first(server):
    server.controller = succeeding(server)
    dead = {"apiVersion": "v1", "kind": "Pod", "name": "killed-step", "uid": "1"}
    left = JOB.manifest(None)
    left["metadata"]["ownerReferences"] = [dead]
    server.create_job(left)
    assert run() == Ending()
    assert [name for name, _ in server.deleted] == [JOB.name] * 2


def test_the_same_work_is_not_done_twice_at_once(server):
    other = server.add_pod("other-step", {})
    left = JOB.manifest(None)
    left["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "Pod", "name": "other-step", "uid": other["metadata"]["uid"]}
    ]
    server.create_job(left)
    with pytest.raises(ScintiflowError, match="being done for the pod other-step"):
        run()
    assert JOB.name in server.jobs


@pytest.mark.parametrize("verb", ["get", "create", "watch", "delete"])
def test_a_missing_right_is_named_with_its_remedy(server, verb):
    if verb != "watch":  # a job that has ended needs no watching
        server.controller = succeeding(server)
    server.forbidden = {(verb, "trainjobs")}
    with pytest.raises(ScintiflowError) as refusal:
        run()
    assert f"cannot {verb} resource" in refusal.value.reason
    assert "--service-account pipeline-steps" in refusal.value.remedy


def test_a_cluster_without_trainer_is_named_so(server):
    server.knows_trainer = False
    with pytest.raises(ScintiflowError) as refusal:
        run()
    assert "Install Kubeflow Trainer 2" in refusal.value.remedy


def test_outside_a_cluster_the_remedy_is_one_node(monkeypatch):
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ScintiflowError, match=r"train_cascade.nodes: needs a Kubernetes cluster") as refusal:
        Cluster.find("train_cascade.nodes")
    assert "set train_cascade.nodes to 1" in refusal.value.remedy


def test_a_server_that_does_not_answer_is_named(server, monkeypatch):
    cluster = Cluster.find("nodes")
    monkeypatch.setattr(cluster.api.configuration.retries, "total", 0)
    server.__exit__()
    with pytest.raises(ScintiflowError, match="does not answer"):
        run_train_job(JOB, cluster, lambda: None)


def test_the_namespace_is_that_of_the_account(server):
    assert Cluster.find("nodes").namespace == NAMESPACE
