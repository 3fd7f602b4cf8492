"""The last verdict of `scintiflow drift` as a reason for a retrain, and what has to happen first."""

import json
from dataclasses import dataclass
from typing import Any

from scintiflow.cluster.obstacles import Obstacle
from scintiflow.drift.verdict import DRIFT, DRIFT_TAG, TITLES, VERDICT, verdict_folder
from scintiflow.files import read_json
from scintiflow.params import WatchParams
from scintiflow.registry.lineage import PREFIX, ModelRecord


@dataclass(frozen=True)
class DriftReason:
    """Restored scans that the champion was not trained for.

    Attributes:
        features: that drifted, as people call them.
        scans: that were compared, from `first_day` to `last_day`.
    """

    features: tuple[str, ...]
    scans: int
    first_day: str
    last_day: str

    def __str__(self) -> str:
        return (
            f"drift: {', '.join(self.features)} of {self.scans} restored scans, {self.first_day} to {self.last_day}, "
            "are not those of the champion's training"
        )

    def obstacle(self) -> Obstacle:
        """Where nothing else has changed: the same cohorts would give the same model."""
        return Obstacle(
            "drift",
            f"{str(self).removeprefix('drift: ')}, and a retrain on the same cohorts would give the same model",
            "Add a cohort with such scans (`scintiflow cohort add`), name it in ingest.cohorts, then retrain",
        )


def drift_reason(watch: WatchParams, champion: ModelRecord | None) -> DriftReason | None:
    """From the champion's tag in the registry, else from the watch folder of this machine; None without drift.

    A verdict on another version is none on the champion.
    """
    if champion is None:
        return None
    found = _tagged(champion) or _in_folder(watch, champion)
    if found is None or found.get("verdict") != DRIFT:
        return None
    names = tuple(TITLES.get(name, name) for name in found["drifted"])
    return DriftReason(names, int(found["scans"]), str(found["first_day"]), str(found["last_day"]))


def _tagged(champion: ModelRecord) -> dict[str, Any] | None:
    text = champion.tags.get(f"{PREFIX}{DRIFT_TAG}")
    return json.loads(text) if text else None


def _in_folder(watch: WatchParams, champion: ModelRecord) -> dict[str, Any] | None:
    path = verdict_folder(watch) / VERDICT
    if not watch.folder or not path.is_file():
        return None
    found = read_json(path)
    return found if found.get("model") == f"{champion.name} version {champion.version}" else None
