"""The first steps of every pipeline: cohorts -> data set -> adapted SAM -> semantic priors.

With `shards` in the placement of ingest or distil_priors the step is preceded by as many tasks, which share the
patients and leave their work on the volume where the step looks. Their number is known when the pipeline is
compiled, so no loop of Kubeflow's is needed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from kfp import dsl

from components.adapt_sam import adapt_sam
from components.distil_priors import distil_priors
from components.distil_priors_share import distil_priors_share
from components.ingest import ingest
from components.ingest_share import ingest_share
from scintiflow.cluster.placement import place, place_share
from scintiflow.params.placement import PlacementParams
from scintiflow.stages.code_version import code_version


@dataclass(frozen=True)
class FirstSteps:
    """The tasks; what they write is `ingested.outputs["dataset"]`, `adapted.outputs["sam"]` and so on."""

    ingested: dsl.PipelineTask
    adapted: dsl.PipelineTask
    distilled: dsl.PipelineTask


def first_steps(
    cohorts: object,
    cohorts_sha256: object,
    truth: object,
    truth_sha256: object,
    ingest_params: object,
    adapt_sam_params: object,
    distil_priors_params: object,
    placement: PlacementParams | None = None,
    experiment: str = "",
) -> FirstSteps:
    """Add the steps, placed, to the pipeline that is being defined. The first seven are inputs of that pipeline."""
    ingested = _shared(
        "ingest", ingest, ingest_share, placement, experiment,
        params=ingest_params, cohorts=cohorts, cohorts_sha256=cohorts_sha256,
    )  # fmt: skip
    dataset = ingested.outputs["dataset"]
    adapted = adapt_sam(
        params=adapt_sam_params,
        code_version=code_version("adapt_sam"),
        dataset=dataset,
        truth=truth,
        truth_sha256=truth_sha256,
    )
    place(adapted, placement, experiment)
    distilled = _shared(
        "distil_priors", distil_priors, distil_priors_share, placement, experiment,
        params=distil_priors_params, dataset=dataset, sam=adapted.outputs["sam"],
    )  # fmt: skip
    return FirstSteps(ingested, adapted, distilled)


def _shared(
    stage: str,
    component: Callable[..., dsl.PipelineTask],
    share: Callable[..., dsl.PipelineTask],
    placement: PlacementParams | None,
    experiment: str,
    **inputs: object,
) -> dsl.PipelineTask:
    """The step, after the shares that do its work ahead of it if placement asks for any."""
    inputs = {"code_version": code_version(stage), **inputs}
    shards = 1 if placement is None else placement.step(stage).shards
    shares = [share(share=number, shares=shards, **inputs) for number in range(shards if shards > 1 else 0)]
    for number, task in enumerate(shares, start=1):
        place_share(task, stage, number, shards, placement, experiment)
    task = component(**inputs).after(*shares)
    place(task, placement, experiment)
    return task
