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


def start_containers(wanted: dict, network: str, **mounted: dict[str, str]) -> None:
    """Let kfp.local start a container for each step, as a pod of the Pod Security Standard 'restricted' would be.

    With a read-only root file system and its own /tmp. `mounted`: `read_only` and `writable`, place -> folder here.
    """
    os.umask(0)  # kfp.local makes the folders into which the image's user writes
    mounts = [
        docker.types.Mount(place, folder, type="bind", read_only=kind == "read_only")
        for kind, folders in mounted.items()
        for place, folder in folders.items()
    ]
    local.init(
        runner=local.DockerRunner(
            read_only=True,
            tmpfs={"/tmp": "exec"},
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            shm_size="1g",
            network_mode=network,
            environment=wanted["environment"],
            mounts=mounts,
        ),
        pipeline_root=wanted["pipeline_root"],
        cache_root=wanted["cache_root"],
        enable_caching=True,
        raise_on_error=True,
    )


def main(request: Path) -> None:
    wanted = json.loads(request.read_text())
    project = Path(wanted["project"])
    params = load_params(project / "params.yaml", Path(wanted["overlay"]))
    arguments = cluster_arguments(params, source_hashes(params, project), registry="empty")
    start_containers(
        wanted,
        "host",
        read_only={"/data": str(project / "data")},
        writable={"/checkpoints": wanted["checkpoints"]},
    )
    pipeline = retrain_pipeline(params.placement, wanted["experiment"])
    task = pipeline(**arguments, champion_to_beat="none")
    Path(wanted["result"]).write_text(json.dumps({name: made.path for name, made in task.outputs.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
