"""Which code a stage depends on, as one hash: what a cache must know and kfp.local does not.

The modules are found in the static import graph, so a change in `restoration/` re-runs training and
what follows, and leaves ingestion alone. The lock file counts too: another torch is other code.
"""

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import grimp

import scintiflow

# The doors and the wiring, and where a stage runs, do not change what it computes.
WIRING = (
    "scintiflow.stages.checkpoints",
    "scintiflow.stages.door",
    "scintiflow.stages.graph",
    "scintiflow.stages.code_version",
    "scintiflow.params.placement",
    "scintiflow.nodes",
    "scintiflow.nodes.cluster",
    "scintiflow.nodes.first_node",
    "scintiflow.nodes.train_job",
    "scintiflow.stages.several_nodes",
)


@cache
def _import_graph() -> grimp.ImportGraph:
    return grimp.build_graph("scintiflow", cache_dir=None)


def stage_modules(stage: str) -> set[str]:
    """Names of a stage's module, of every scintiflow module that it imports, and of their packages."""
    module = f"scintiflow.stages.{stage}"
    modules = {module} | _import_graph().find_upstream_modules(module)
    return (modules | {name.rsplit(".", 1)[0] for name in modules}) - set(WIRING)


@cache
def code_version(stage: str) -> str:
    """Hex SHA-256 over the sources of a stage's modules and the lock file."""
    digest = hashlib.sha256()
    for name in sorted(stage_modules(stage)):
        for path in _sources(name):
            digest.update(f"{name}/{path.name}\0".encode() + path.read_bytes() + b"\0")
    lock = Path(scintiflow.__file__).parents[2] / "requirements.lock"
    if lock.is_file():
        digest.update(lock.read_bytes())
    return digest.hexdigest()


def stage_sources(stage: str) -> set[Path]:
    """The files that `code_version` looks into, but for the lock file."""
    return {path for name in stage_modules(stage) for path in _sources(name)}


def _sources(module: str) -> list[Path]:
    """A module's own file; for a package also the templates beside it."""
    specification = find_spec(module)
    if specification is None or specification.origin is None:
        raise ModuleNotFoundError(f"{module} has no source file")
    origin = Path(specification.origin)
    beside = sorted(origin.parent.glob("*.j2")) if origin.name == "__init__.py" else []
    return [origin, *beside]
