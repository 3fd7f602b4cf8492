"""The retrain pipeline.

1. ingest          cohorts -> packed data set with a stable patient split
2. adapt_sam       data set -> SAM adapted to bone scans
3. distil_priors   data set + SAM -> soft masks and embeddings, once per study
4. train_cascade   data set + priors -> f^IR1 and f^IR2 (SPI, SKD, SCM)
5. fetch_champion  the model to beat, out of the registry by alias
6. evaluate        held-out patients: restorer beside champion and baselines
7. register        the gate decides: champion or challenger
8. restore_real    the registered model on a real scan; the report of the whole run

Each step gets its own section of params.yaml as JSON, so a changed section re-runs its step and what
follows. Content hashes stand beside paths because Kubeflow's cache does not look into files, and the hash of a
step's code is an input because the cache does not look into the image either. Where a step runs is the section
`placement`, which no step gets; steps 1 to 3 may be shared by several pods (`first_steps`).

On a schedule a step comes before all of these: it looks what the volume and the registry hold on that day.
"""

from dataclasses import dataclass
from typing import NamedTuple

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from components.close_run import close_run
from components.evaluate import evaluate
from components.fetch_champion import fetch_champion
from components.look import look
from components.register import register
from components.restore_real import restore_real
from components.train_cascade import train_cascade
from pipelines.first_steps import first_steps
from scintiflow.cluster.placement import place, place_like
from scintiflow.params.placement import PlacementParams
from scintiflow.stages.code_version import code_version


class RetrainOutputs(NamedTuple):
    registration: dsl.Artifact
    restored: dsl.Artifact


@dataclass(frozen=True)
class OnSchedule:
    """What a schedule keeps from the day on which it was made: the recipe as JSON, and the commit that held it."""

    recipe: str
    commit: str


def retrain_pipeline(
    placement: PlacementParams | None, experiment: str = "", on_schedule: OnSchedule | None = None
) -> BaseComponent:
    """The pipeline with its steps placed on a cluster; `placement` None is this machine.

    `on_schedule`: hashes, registry and champion are found by a first step, and not taken from the arguments.
    """

    @dsl.pipeline(name="scintiflow-retrain", description="From de-identified DICOM cohorts to a registered restorer")
    def retrain(
        cohorts: str,
        cohorts_sha256: str,
        truth: str,
        truth_sha256: str,
        registry: str,
        champion_to_beat: str,
        ingest_params: str,
        adapt_sam_params: str,
        distil_priors_params: str,
        train_cascade_params: str,
        fetch_champion_params: str,
        evaluate_params: str,
        register_params: str,
        restore_real_params: str,
    ) -> RetrainOutputs:
        tags, recipe = "{}", ""
        if placement is not None and on_schedule is not None:
            looked = look(recipe=on_schedule.recipe, commit=on_schedule.commit, cohorts=cohorts, truth=truth)
            looked.set_display_name("See what is there").set_caching_options(False)
            place_like(looked, placement.fetch_champion, experiment)
            cohorts_sha256, truth_sha256 = looked.outputs["cohorts_sha256"], looked.outputs["truth_sha256"]
            registry, champion_to_beat = looked.outputs["registry"], looked.outputs["champion_to_beat"]
            tags, recipe = looked.outputs["tags"], on_schedule.recipe

        first = first_steps(
            cohorts,
            cohorts_sha256,
            truth,
            truth_sha256,
            ingest_params,
            adapt_sam_params,
            distil_priors_params,
            placement,
            experiment,
        )
        dataset = first.ingested.outputs["dataset"]
        sam = first.adapted.outputs["sam"]
        priors = first.distilled.outputs["priors"]

        trained = train_cascade(
            params=train_cascade_params, code_version=code_version("train_cascade"), dataset=dataset, priors=priors
        )
        cascade = trained.outputs["cascade"]

        fetched = fetch_champion(
            params=fetch_champion_params,
            code_version=code_version("fetch_champion"),
            registry=registry,
            to_beat=champion_to_beat,
        )
        champion = fetched.outputs["champion"]

        evaluated = evaluate(
            params=evaluate_params,
            code_version=code_version("evaluate"),
            dataset=dataset,
            sam=sam,
            priors=priors,
            cascade=cascade,
            champion=champion,
            truth=truth,
            truth_sha256=truth_sha256,
        )
        evaluation = evaluated.outputs["evaluation"]

        registered = register(
            params=register_params,
            code_version=code_version("register"),
            cascade=cascade,
            evaluation=evaluation,
            registry=registry,
        )
        registration = registered.outputs["registration"]

        shown = restore_real(
            params=restore_real_params,
            code_version=code_version("restore_real"),
            cohorts=cohorts,
            cohorts_sha256=cohorts_sha256,
            evaluation=evaluation,
            registration=registration,
        )

        for task in (trained, fetched, evaluated, registered, shown):
            place(task, placement, experiment)
        if placement is not None:  # on this machine the launcher closes the run
            closed = close_run(
                cohorts_sha256=cohorts_sha256,
                truth_sha256=truth_sha256,
                tags=tags,
                recipe=recipe,
                restored=shown.outputs["restored"],
            )
            closed.set_display_name("Close the run").set_caching_options(False)
            place_like(closed, placement.register_, experiment)
        return RetrainOutputs(registration=registration, restored=shown.outputs["restored"])

    return retrain


retrain = retrain_pipeline(placement=None)
