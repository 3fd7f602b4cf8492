"""Component that closes the MLflow parent run of a pipeline run on a cluster; no stage, for it makes nothing."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def close_run(
    cohorts_sha256: str, truth_sha256: str, tags: str, recipe: str, restored: dsl.Input[dsl.Artifact]
) -> None:
    """Ends the parent run as FINISHED; it and its model say what they were made of. Nothing if all was reused.

    Also sweeps up what runs that were stopped left on the volume.

    `tags` (JSON) and `recipe` are of a run that a schedule started: a submitter leaves them with the run himself.
    """
    import json
    from pathlib import Path

    from scintiflow.cluster.leftovers import remove_leftovers
    from scintiflow.registry.closing import close_cluster_run

    print(f"{remove_leftovers()} old files of other runs removed")
    told = {"cohorts_sha256": cohorts_sha256, "truth_sha256": truth_sha256} | json.loads(tags)
    close_cluster_run(told, Path(restored.path) / "report.html", recipe)
