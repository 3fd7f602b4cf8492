"""The process in which kfp.local runs the pipeline: `python -m scintiflow.cluster.local_process REQUEST`.

kfp.local changes `print`, the root logger and the working globals of its process, and its output is a
log, not something to look at. So it gets a process of its own; the launcher reads events and draws.
"""

import importlib
import sys
from pathlib import Path

from kfp import local

from scintiflow.files import read_json, write_json


def main(request: Path) -> None:
    """Run the pipeline as the request says and leave the outputs' paths in its `result` file."""
    wanted = read_json(request)
    name = wanted.get("pipeline", "retrain")
    pipeline = getattr(importlib.import_module(f"pipelines.{name}"), name)

    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=wanted["pipeline_root"],
        raise_on_error=True,
        enable_caching=True,
        cache_root=wanted["cache_root"],
    )
    task = pipeline(**wanted["arguments"])
    write_json(Path(wanted["result"]), {name: artifact.path for name, artifact in task.outputs.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
