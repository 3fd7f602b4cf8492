"""Stage ingest: cohorts -> data set of packed pairs, manifest, reasons for what was left out."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from scintiflow.dataset.manifest import Dataset, patient_record
from scintiflow.dataset.packing import QUARANTINE, pack_cohorts, pack_share
from scintiflow.dataset.picture_packing import pack_picture_share, pack_pictures
from scintiflow.dataset.shares import Share
from scintiflow.errors import ScintiflowError
from scintiflow.files import write_json
from scintiflow.keyed_store import KeyedStore
from scintiflow.params import IngestParams
from scintiflow.stages.kept_folders import kept_folder, shared_folder
from scintiflow.tracking import Tracker

PAIRS = "pairs"  # the folder in which pods leave pairs for each other
LINEAGE, PATIENTS = "lineage", "patients.json"  # read again by registry.lineage


@dataclass(frozen=True)
class Inputs:
    """`cohorts` is the folder that holds all cohorts (data/cohorts)."""

    cohorts: Path


@dataclass(frozen=True)
class Outputs:
    dataset: Path


def run(params: IngestParams, inputs: Inputs, outputs: Outputs, tracker: Tracker) -> dict[str, float]:
    """Pack the cohorts that `params` names; see `dataset.packing.pack_cohorts` and `dataset.picture_packing`.

    Raises ScintiflowError if a cohort is missing or a split would have too few patients.
    """
    pack = pack_pictures if params.source == "image_pairs" else pack_cohorts
    report = pack(_folders(params, inputs), params, outputs.dataset, ahead=KeyedStore(kept_folder(PAIRS)))
    tracker.artifact(outputs.dataset / QUARANTINE, "ingest")
    with tempfile.TemporaryDirectory() as scratch:
        record = Path(scratch) / PATIENTS
        write_json(record, patient_record(Dataset.open(outputs.dataset)))
        tracker.artifact(record, LINEAGE)
    return report.numbers


def run_share(params: IngestParams, inputs: Inputs, share: Share) -> dict[str, float]:
    """Leave the pairs of a share of the patients for `run` to find; see `dataset.packing.pack_share`."""
    pack = pack_picture_share if params.source == "image_pairs" else pack_share
    return pack(_folders(params, inputs), params, share, KeyedStore(shared_folder(PAIRS, "ingest")))


def _folders(params: IngestParams, inputs: Inputs) -> list[Path]:
    folders = [inputs.cohorts / name for name in params.cohorts]
    for folder in folders:
        if not folder.is_dir():
            raise ScintiflowError(
                "this cohort is not there",
                where=folder,
                remedy="Fetch it with `dvc pull`, add it with `scintiflow cohort add`, "
                "or take its name out of ingest.cohorts",
            )
    return folders
