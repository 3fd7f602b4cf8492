"""Stage ingest: cohorts -> data set of packed pairs, manifest, reasons for what was left out."""

from dataclasses import dataclass
from pathlib import Path

from scintiflow.dataset.packing import QUARANTINE, pack_cohorts
from scintiflow.errors import ScintiflowError
from scintiflow.params import IngestParams
from scintiflow.tracking import Tracker


@dataclass(frozen=True)
class Inputs:
    """`cohorts` is the folder that holds all cohorts (data/cohorts)."""

    cohorts: Path


@dataclass(frozen=True)
class Outputs:
    dataset: Path


def run(params: IngestParams, inputs: Inputs, outputs: Outputs, tracker: Tracker) -> dict[str, float]:
    """Pack the cohorts that `params` names; see `dataset.packing.pack_cohorts`.

    Raises ScintiflowError if a cohort is missing or a split would have too few patients.
    """
    folders = [inputs.cohorts / name for name in params.cohorts]
    for folder in folders:
        if not folder.is_dir():
            raise ScintiflowError(
                "this cohort is not there",
                where=folder,
                remedy="Fetch it with `dvc pull`, add it with `scintiflow cohort add`, "
                "or take its name out of ingest.cohorts",
            )
    report = pack_cohorts(folders, params, outputs.dataset)
    tracker.artifact(outputs.dataset / QUARANTINE, "ingest")
    return report.numbers
