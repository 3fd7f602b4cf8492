"""What every task of a pipeline gets besides its arguments, in one place."""

from kfp import dsl

from scintiflow.stages.code_version import code_version
from scintiflow.stages.graph import TITLES


def place(task: dsl.PipelineTask) -> None:
    """Give a stage's task its display name and the hash of the code it runs.

    A cache compares arguments, image and environment and does not see the installed package:
    CODE_VERSION makes a change in the stage's code, and only that, a cache miss.
    """
    stage = task.component_spec.name.replace("-", "_")
    task.set_display_name(TITLES[stage])
    task.set_env_variable("CODE_VERSION", code_version(stage))
