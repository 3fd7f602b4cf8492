"""MLflow's parent run of a pipeline run that is over: a pod that was killed hard cannot have ended it.

The pipeline's last task ends the parent run, and a stage that fails ends it too. After an out-of-memory kill, a lost
node or a cancelled run neither does. The cluster knows how the run ended, so who asks the cluster tells MLflow.
"""

from scintiflow.cluster.remote_runs import RunState
from scintiflow.cluster.submission import knows_registry
from scintiflow.registry.runs import end_abandoned

STATUS = {"failed": "FAILED", "canceled": "KILLED"}  # of Kubeflow -> of MLflow


def end_in_mlflow(run: RunState) -> str:
    """A sentence about a parent run that was still RUNNING and is so no longer; '' if there is nothing to say."""
    status = STATUS.get(run.state)
    if status is None:
        return ""
    if not knows_registry():
        return "MLflow: set MLFLOW_TRACKING_URI, else its parent run may stay RUNNING"
    if not end_abandoned(run.run_id, status):
        return ""
    return f"MLflow: the parent run was still RUNNING, because a pod was killed; it is {status} now"
