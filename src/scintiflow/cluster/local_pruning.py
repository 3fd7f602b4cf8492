"""Results of runs on this machine that nobody has asked for lately: taken away, with what broken runs left.

kfp.local keeps every stage's outputs under `.scintiflow/pipeline/<run>/<stage>`, and in its cache an entry that names
them. An entry is as old as its last use: a retrain and a plan touch those that they find. To lose a result costs the
time to compute it again, never another result; checkpoints of unfinished work and runs in MLflow are kept elsewhere.
"""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from scintiflow.cluster.local_cache import cache_root, pipeline_root
from scintiflow.cluster.local_locks import ABLATION, RETRAIN, alone
from scintiflow.files import read_json

SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class Pruned:
    """How many stages' results were removed, and their bytes."""

    results: int
    freed: int


def prune(root: Path, unused_days: float) -> Pruned:
    """Remove results that no run and no plan has found for so many days, and outputs as old that no entry names.

    Raises BusyError while a retrain or an ablation runs in this project.
    """
    oldest = time.time() - unused_days * SECONDS_PER_DAY
    with alone(RETRAIN, root), alone(ABLATION, root):
        named: set[Path] = set()
        for entry in sorted(cache_root(root).glob("*.json")):
            if entry.stat().st_mtime < oldest:
                entry.unlink()
            else:
                named |= _outputs(entry)
        unused = [
            folder
            for folder in sorted(pipeline_root(root).glob("*/*/"))
            if _newest(folder) < oldest and not any(output.is_relative_to(folder) for output in named)
        ]
        freed = sum(_size(folder) for folder in unused)
        for folder in unused:
            shutil.rmtree(folder)
            if not any(folder.parent.iterdir()):
                folder.parent.rmdir()
    return Pruned(len(unused), freed)


def _outputs(entry: Path) -> set[Path]:
    """Where the artifacts lie that a cache entry names; none for an entry that cannot be read, nor could be used."""
    try:
        values = read_json(entry).values()
    except json.JSONDecodeError:
        return set()
    return {Path(value["uri"]) for value in values if isinstance(value, dict) and "uri" in value}


def _newest(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
