"""The cluster's pipeline through kfp.local, each step in its own container: `python run_in_containers.py REQUEST`.

kfp.local changes the process it runs in, so it gets one. REQUEST is JSON: `project` (a folder, whose data
is mounted at /data), `overlay` (a profile), `pipeline_root`, `cache_root`, `checkpoints` (mounted at /checkpoints),
`experiment`, `environment`, `result` (a file to write).
"""

import json
import os
import sys
from pathlib import Path

import docker.types
from kfp import local

from pipelines.retrain import retrain_pipeline
from scintiflow.cluster.compilation import cluster_arguments, source_hashes
from scintiflow.params import load_params


def main(request: Path) -> None:
    os.umask(0)  # kfp.local makes the folders into which the image's user writes
    wanted = json.loads(request.read_text())
    project = Path(wanted["project"])
    params = load_params(project / "params.yaml", Path(wanted["overlay"]))
    arguments = cluster_arguments(params, source_hashes(params, project), registry="empty")
    local.init(
        # As a pod of the Pod Security Standard 'restricted' with a read-only root file system and its own /tmp.
        runner=local.DockerRunner(
            read_only=True,
            tmpfs={"/tmp": "exec"},
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            shm_size="1g",
            network_mode="host",
            environment=wanted["environment"],
            mounts=[
                docker.types.Mount("/data", str(project / "data"), type="bind", read_only=True),
                docker.types.Mount("/checkpoints", wanted["checkpoints"], type="bind"),
            ],
        ),
        pipeline_root=wanted["pipeline_root"],
        cache_root=wanted["cache_root"],
        enable_caching=True,
        raise_on_error=True,
    )
    pipeline = retrain_pipeline(params.placement, wanted["experiment"])
    task = pipeline(**arguments, champion_to_beat="none")
    Path(wanted["result"]).write_text(json.dumps({name: made.path for name, made in task.outputs.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
