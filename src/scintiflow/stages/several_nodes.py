"""Training on several nodes: the work laid on a volume that all of them mount, a TrainJob, and its end."""

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

from scintiflow.errors import ScintiflowError
from scintiflow.files import whole_folder
from scintiflow.restoration.processes import WorkOrder, check_ending, launcher_command
from scintiflow.restoration.relay import Relay
from scintiflow.tracking import Tracker

CHECKPOINTS = "SCINTIFLOW_CHECKPOINTS"  # as in stages/checkpoints.py, which needs an S3 client, and training none
COPIED = "inputs"


def train_on_nodes(order: WorkOrder, tracker: Tracker) -> None:
    """Do the work with `nodes` x `devices` processes and wait for the last checkpoint.

    What the nodes read is copied beside the checkpoints first: a step's own inputs are in its own pod.

    Raises StoppedEarly after a SIGTERM, and ScintiflowError if no cluster or volume is there, Kubernetes refuses
    something, or the job fails.
    """
    # Here because they load the client of the whole Kubernetes API, which only this road needs.
    from scintiflow.nodes.cluster import Cluster
    from scintiflow.nodes.train_job import TrainJob, run_train_job

    if order.is_done:
        return
    cluster = Cluster.find("train_cascade.nodes")
    shared = _copied(order)
    with Relay(order.checkpoints, tracker) as relay:
        command = launcher_command(shared.write(), python="python")
        name = f"train-cascade-{hashlib.sha256(order.recipe.encode()).hexdigest()[:16]}"
        job = TrainJob(name, command, nodes=order.params.nodes, processes_per_node=order.params.devices)
        ending = run_train_job(job, cluster, relay.forward)
    check_ending(order, ending.was_told_to_stop, ending.failure)


def _copied(order: WorkOrder) -> WorkOrder:
    """The same work with its inputs on the volume; copied once, whole or not at all."""
    volume = os.environ.get(CHECKPOINTS)
    if not volume or Path(volume) not in order.checkpoints.parents:
        raise ScintiflowError(
            "several nodes need a folder that all of them mount under one path",
            where=CHECKPOINTS,
            remedy="Mount a ReadWriteMany volume in the step and in the TrainingRuntime, and name its path",
        )
    inputs = order.checkpoints / COPIED
    if not inputs.is_dir():
        with whole_folder(inputs) as partial:
            shutil.copytree(order.dataset, partial / "dataset")
            shutil.copytree(order.priors, partial / "priors")
    return replace(order, dataset=inputs / "dataset", priors=inputs / "priors")
