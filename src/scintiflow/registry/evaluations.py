"""Evaluations of finished runs, found by run or model and brought back from MLflow as the stage wrote them."""

from dataclasses import dataclass
from pathlib import Path

from mlflow.exceptions import MlflowException

from scintiflow.errors import ScintiflowError
from scintiflow.evaluation_folder import PATIENTS, SUMMARY
from scintiflow.registry.lineage import History, StageRecord
from scintiflow.registry.runs import open_client


@dataclass(frozen=True)
class Evaluation:
    """`title` says in words which run it is of; `folder` is a copy of what the stage evaluate wrote."""

    title: str
    record: StageRecord
    folder: Path


def fetch_evaluation(target: str, history: History, folder: Path) -> Evaluation:
    """The evaluation of a pipeline run, of a stage's run (by the beginning of its id) or of MODEL@ALIAS.

    A run whose evaluation came out of the cache has that of the run that really did it.

    Raises ScintiflowError if there is none, or if it was written before evaluations were kept whole.
    """
    title, record = _find(target, history)
    folder.mkdir(parents=True)
    try:
        open_client().download_artifacts(record.run_id, "", str(folder))
    except (MlflowException, OSError) as error:
        raise ScintiflowError(
            f"its evaluation cannot be fetched ({type(error).__name__})",
            where=target,
            remedy="Check MLFLOW_TRACKING_URI and the artifact store behind it",
        ) from None
    missing = [name for name in (PATIENTS, SUMMARY) if not (folder / name).is_file()]
    if missing:
        raise ScintiflowError(
            f"its evaluation left no {' and no '.join(missing)} in MLflow",
            where=target,
            remedy="Evaluate that model again: `scintiflow retrain --again evaluate`",
        )
    return Evaluation(title, record, folder)


def _find(target: str, history: History) -> tuple[str, StageRecord]:
    name, _, alias = target.partition("@")
    if alias:
        model = history.model(name, alias)
        chain, title = ({}, "") if model is None else (history.lineage(model), model.title)
    else:
        chain = history.of_run(target)
        made = [
            model.title
            for model in history.models
            if "register" in chain and chain["register"].run_id == model.run_id
        ]
        title = f"run {target}{f', {made[0]}' if made else ''}"
    if "evaluate" not in chain:
        raise ScintiflowError(
            "is no finished run or model with an evaluation",
            where=target,
            remedy="Give a run's id as MLflow shows it, or MODEL@ALIAS, or MODEL@VERSION",
        )
    return title, chain["evaluate"]
