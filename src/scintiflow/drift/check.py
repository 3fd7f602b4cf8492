"""`scintiflow drift`: the scans restored lately against the cohort that the model was trained on."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from scintiflow.drift.cohort import TRAINING_COHORT, WEIGHTS, read_training_cohort
from scintiflow.drift.comparison import Verdict, compare
from scintiflow.drift.display import summary, write_verdict
from scintiflow.drift.store import Journal
from scintiflow.drift.verdict import DRIFT_TAG, verdict_folder
from scintiflow.errors import ScintiflowError
from scintiflow.params import WatchParams
from scintiflow.restoration.model_folder import REFERENCE, REFERENCE_FOLDER, checkpoint_sha256

NEWEST_IN_TAG = ("verdict", "drifted", "scans", "first_day", "last_day")


def check_drift(params: WatchParams, name: str, alias: str, days: int, training: Path | None = None) -> Verdict:
    """Compare, and write the verdict into the watch folder.

    Args:
        name, alias: the registered model whose training cohort counts; `reference` (of any alias) is the one that
            comes along.
        days: of how many days, until today (UTC), restored scans are taken.
        training: statistics of a training cohort in a file, instead of the registered model's.

    Raises ScintiflowError if nothing is watched, or the model carries no statistics.
    """
    if not params.folder:
        raise ScintiflowError(
            "restored scans are not watched", where="watch.folder", remedy="Give it a folder, then restore scans"
        )
    since = f"{datetime.now(UTC) - timedelta(days=days - 1):%Y-%m-%d}"
    rows = Journal(Path(params.folder)).rows(since)
    if training is not None:
        trained, version, sha256 = read_training_cohort(training), "", ""
        model = training.name
    elif name == REFERENCE:
        model, version, sha256 = "the reference model", "", checkpoint_sha256(REFERENCE_FOLDER)
        trained = _of_the_reference(sha256)
    else:
        from scintiflow.registry.models import fetch_model

        with TemporaryDirectory() as place:
            found = fetch_model(name, alias, Path(place))
            version, sha256, model = found.version, found.checkpoint_sha256, f"{name} version {found.version}"
            trained = _carried_by(model, Path(place))
    verdict = compare(rows, trained, params, sha256)
    write_verdict(verdict, model, params, verdict_folder(params))
    if params.to_mlflow and version:
        from scintiflow.registry.models import tag_version

        short = {key: value for key, value in summary(verdict).items() if key in NEWEST_IN_TAG}
        tag_version(name, version, {DRIFT_TAG: json.dumps(short, sort_keys=True)})
    return verdict


def _of_the_reference(sha256: str) -> dict[str, Any]:
    path = REFERENCE_FOLDER / TRAINING_COHORT
    found = read_training_cohort(path)
    if found.get(WEIGHTS) != sha256:
        raise ScintiflowError(
            "belongs to other weights", where=path, remedy="Write it again: `scintiflow reference describe reference`"
        )
    return found


def _carried_by(model: str, folder: Path) -> dict[str, Any]:
    if not (folder / TRAINING_COHORT).is_file():
        raise ScintiflowError(
            "carries no statistics of its training cohort: it was registered before these were kept",
            where=model,
            remedy="Retrain, or name a file with --training",
        )
    return read_training_cohort(folder / TRAINING_COHORT)
