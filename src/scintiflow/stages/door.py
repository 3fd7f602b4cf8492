"""The one way into a stage, whoever calls: the command line, DVC or Kubeflow.

It turns strings into typed parameters and paths, opens the MLflow run, tells the launcher when the
stage starts and ends, and writes the report. The stage itself knows none of that.
"""

import hashlib
import importlib
import json
import math
import os
import sys
import time
import traceback
from dataclasses import fields
from pathlib import Path

from scintiflow.cohorts.versions import COHORTS, cohort_versions
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file, sha256_tree, write_json
from scintiflow.params import parse_section
from scintiflow.progress import EVENTS_FILE
from scintiflow.registry.runs import stage_run
from scintiflow.stages.checkpoints import unfinished_work
from scintiflow.stages.code_version import code_version
from scintiflow.stages.graph import BY_NAME

DATA_SETS = {"cohorts", "dataset"}  # inputs that MLflow shows as the data of a run


def run_stage(
    stage: str,
    params: str,
    inputs: dict[str, str],
    outputs: dict[str, str],
    report: str | Path,
    planned_code: str = "",
) -> dict[str, float]:
    """Run one stage and return its report: a flat mapping from name to number.

    Args:
        stage: name, see `graph.STAGES`.
        params: the stage's section of params.yaml as JSON.
        inputs, outputs: name -> path, the names of `graph.STAGES`.
        report: where the report is written as JSON.
        planned_code: `code_version` of the stage where the pipeline was compiled, '' if nobody planned. A cache keeps
            the result under that hash, so other code is refused.

    Raises whatever the stage raises, after the MLflow run and the launcher have been told.
    """
    # Threads that wait spinning for long starve each other on a busy machine; must be set before torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    module = importlib.import_module(f"scintiflow.stages.{stage}")
    section = parse_section(stage, params)
    given = {name: _existing(Path(path), name, stage) for name, path in inputs.items()}
    started = time.monotonic()
    _tell({"stage": stage, "event": "started"})
    try:
        own_code = _planned(stage, planned_code)
        hashes = {f"input.{name}.sha256": content_sha256(path) for name, path in given.items()}
        tags = hashes | {"code_version": own_code}
        surroundings = _cohort_tags(getattr(section, "cohorts", []), given) | _image_tag()
        with (
            stage_run(stage, section.model_dump(), tags | surroundings) as run,
            unfinished_work(_work_name(stage, section.work_sha256(), tags)) as checkpoints,
        ):
            for name in DATA_SETS & given.keys():
                run.used(name, given[name], hashes[f"input.{name}.sha256"])
            wanted = {name: Path(path) for name, path in outputs.items()}
            if "checkpoints" in {field.name for field in fields(module.Outputs)}:
                wanted["checkpoints"] = checkpoints
            result = module.run(section, module.Inputs(**given), module.Outputs(**wanted), run.tracker)
            result = {name: value for name, value in result.items() if math.isfinite(value)}
            for name, path in outputs.items():
                run.tag(f"output.{name}.sha256", content_sha256(Path(path)))
                run.tag(f"output.{name}.bytes", str(_bytes(Path(path))))
            run.tag("device", _device())
            run.tracker.metrics(result)
    except ScintiflowError as error:
        refusal = {"reason": error.reason, "where": error.where, "remedy": error.remedy}
        _tell({"stage": stage, "event": "failed", "message": str(error), "refusal": refusal})
        raise
    except BaseException as error:
        message = f"{type(error).__name__}: {error}"
        _tell({"stage": stage, "event": "failed", "message": message, "trace": traceback.format_exc()})
        raise
    write_json(Path(report), result)
    _tell({"stage": stage, "event": "finished", "seconds": round(time.monotonic() - started, 1)})
    return result


def _work_name(stage: str, params_sha256: str, tags: dict[str, str]) -> str:
    """The same for the same work: stage, parameters, code, content of the inputs."""
    identity = json.dumps([stage, params_sha256, sorted(tags.items())])
    return f"{stage}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _planned(stage: str, planned_code: str) -> str:
    """The hash of the stage's code here; a ScintiflowError if the pipeline was compiled from other code."""
    own_code = code_version(stage)
    if planned_code not in ("", own_code):
        raise ScintiflowError(
            f"the code here ({own_code[:12]}) is not that of the pipeline ({planned_code[:12]})",
            where=f"stage {stage}",
            remedy="On a cluster: name the image of the commit you submit from (`make images`) as SCINTIFLOW_IMAGE. "
            "On this machine: the code has changed since the run began; run again",
        )
    return own_code


def _cohort_tags(names: list[str], inputs: dict[str, Path]) -> dict[str, str]:
    """Which version of each cohort is read, as its .dvc file says; nothing for a cohort without one."""
    folder = inputs.get("cohorts")
    if folder is None or folder.parts[-len(COHORTS.parts) :] != COHORTS.parts:
        return {}
    versions = cohort_versions(folder.parents[len(COHORTS.parts) - 1])
    return {f"cohort.{name}": f"dvc:{versions[name].md5}" for name in names if name in versions}


def _image_tag() -> dict[str, str]:
    image = os.environ.get("SCINTIFLOW_IMAGE")
    return {"image": image} if image else {}


def _device() -> str:
    """What the stage computed on. torch is asked only if the stage has loaded it."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_initialized() else "cpu"


def _bytes(path: Path) -> int:
    return sum(found.stat().st_size for found in ([path] if path.is_file() else path.rglob("*")) if found.is_file())


def content_sha256(path: Path) -> str:
    """Hex SHA-256 of a file or of a folder's whole content."""
    return sha256_tree(path) if path.is_dir() else sha256_file(path)


def _existing(path: Path, name: str, stage: str) -> Path:
    if not path.exists():
        makers = [spec.name for spec in BY_NAME.values() if spec.writes == name]
        remedy = f"Run the {makers[0]} stage first" if makers else "Run `make data`, or `dvc pull` the cohorts"
        raise ScintiflowError(f"{stage} needs '{name}' and it is not there", where=path, remedy=remedy)
    return path


def _tell(event: dict) -> None:
    """Append an event for the process that launched the pipeline, if there is one."""
    target = os.environ.get(EVENTS_FILE)
    if target:
        with Path(target).open("a", encoding="utf-8") as events:
            events.write(json.dumps(event) + "\n")
