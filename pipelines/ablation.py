"""The paper's ablation: which part of the method is worth what.

1. ingest, adapt_sam, distil_priors   as in pipelines/retrain.py, and reused from its runs
2. unadapted_sam, distil_priors       the same priors from a SAM that was not adapted
3. ablation_arm, in parallel          without semantics, +SPI, +SPI+SKD, +SPI+SKD+SCM, without adaptation; each seed
4. ablation_table                     one table with intervals

Each item of the loop is the whole JSON of one training, because a loop's body must not read a parameter from
outside the loop. See `cluster/ablation.py` for the arguments.
"""

from kfp import dsl

from components.ablation_arm import ablation_arm
from components.ablation_table import ablation_table
from components.distil_priors import distil_priors
from components.unadapted_sam import unadapted_sam
from pipelines.first_steps import first_steps
from scintiflow.cluster.placement import place
from scintiflow.stages.code_version import code_version


@dsl.pipeline(name="scintiflow-ablation", description="What SPI, SKD, SCM and the adaptation of SAM are worth")
def ablation(
    cohorts: str,
    cohorts_sha256: str,
    truth: str,
    truth_sha256: str,
    arms: list,
    ingest_params: str,
    adapt_sam_params: str,
    distil_priors_params: str,
    evaluate_params: str,
) -> dsl.Artifact:
    first = first_steps(
        cohorts,
        cohorts_sha256,
        truth,
        truth_sha256,
        ingest_params,
        adapt_sam_params,
        distil_priors_params,
    )
    dataset = first.ingested.outputs["dataset"]

    as_it_comes = unadapted_sam(params=adapt_sam_params, code_version=code_version("unadapted_sam"))
    undistilled = distil_priors(
        params=distil_priors_params,
        code_version=code_version("distil_priors"),
        dataset=dataset,
        sam=as_it_comes.outputs["sam"],
    )

    with dsl.ParallelFor(arms) as arm:
        trained = ablation_arm(
            arm=arm,
            code_version=code_version("ablation_arm"),
            dataset=dataset,
            priors=first.distilled.outputs["priors"],
            unadapted_priors=undistilled.outputs["priors"],
        )
        place(trained)
    table = ablation_table(
        params=evaluate_params,
        code_version=code_version("ablation_table"),
        scores=dsl.Collected(trained.outputs["scores"]),
    )
    for task in (as_it_comes, undistilled, table):
        place(task)
    return table.outputs["table"]
