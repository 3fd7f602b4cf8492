"""What kfp.local would take from its cache, found the way kfp.local finds it, without running anything.

The pipeline's tasks are walked in order with kfp.local's own resolution of arguments and its own key. A task whose
entry is there gives its outputs to those that follow; one that would run gets a new folder, so that whatever reads
from it would run too.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from kfp.local import graph_utils, io, utils
from kfp.local.cache import LocalCache
from kfp.local.orchestrator.orchestrator_utils import OrchestratorUtils

STATE = Path(".scintiflow")


def cache_root(project: Path) -> Path:
    return project / STATE / "cache"


def pipeline_root(project: Path) -> Path:
    """Where the outputs of stages lie that entries of the cache name."""
    return project / STATE / "pipeline"


def cached_stages(arguments: dict[str, str], project: Path, again: tuple[str, ...] = ()) -> dict[str, bool]:
    """Stage -> whether its result would be reused, for a retrain with these arguments.

    Stages in `again` run in any case. What is found is marked as used now, see `local_pruning`.
    """
    from pipelines.retrain import retrain

    specification = retrain.pipeline_spec
    tasks = specification.root.dag.tasks
    executors = {
        name: utils.struct_to_executor_spec(executor)
        for name, executor in specification.deployment_spec["executors"].items()
    }
    cache = LocalCache(str(cache_root(project))) if cache_root(project).is_dir() else None
    known = io.IOStore()
    for name, value in arguments.items():
        known.put_parent_input(name, value)
    reused: dict[str, bool] = {}
    order = graph_utils.topological_sort_tasks(tasks)
    while order:
        task = order.pop()
        stage = task.replace("-", "_")
        outputs = None
        upstream_is_known = all(reused[before.replace("-", "_")] for before in tasks[task].dependent_tasks)
        if cache is not None and upstream_is_known and stage not in again:
            component = specification.components[tasks[task].component_ref.name]
            key = _key(cache, tasks[task], executors[component.executor_label].container, known)
            outputs = cache.get(key)
            if outputs is not None:
                with suppress(OSError):  # a plan may look at a project that it must not write to
                    os.utime(cache_root(project) / f"{key}.json")
        for name, output in (outputs or {}).items():
            known.put_task_output(task, name, output)
        reused[stage] = outputs is not None
    return reused


def _key(cache: LocalCache, task: Any, container: Any, known: io.IOStore) -> str:
    return cache.compute_key(
        component_name=task.component_ref.name,
        image=container.image,
        full_command=[*container.command, *container.args],
        arguments=OrchestratorUtils.make_task_arguments(task.inputs, known),
        env_vars={variable.name: variable.value for variable in container.env},
        custom_cache_key=task.caching_options.cache_key or None,
    )
