"""Stage distil_priors: data set and adapted SAM -> soft masks and embeddings of every study."""

from dataclasses import dataclass
from pathlib import Path

from scintiflow.dataset.manifest import Dataset
from scintiflow.params import DistilPriorsParams
from scintiflow.sam.priors import distil
from scintiflow.tracking import Tracker


@dataclass(frozen=True)
class Inputs:
    dataset: Path
    sam: Path


@dataclass(frozen=True)
class Outputs:
    """`checkpoints`: where a killed run is taken up again; beside the output by default."""

    priors: Path
    checkpoints: Path | None = None


def run(params: DistilPriorsParams, inputs: Inputs, outputs: Outputs, tracker: Tracker) -> dict[str, float]:
    """Write `<study>.npz` and `priors.json` to `outputs.priors`; see `sam.priors.distil`."""
    dataset = Dataset.open(inputs.dataset)
    return distil(dataset, inputs.sam, params, outputs.priors, tracker, unfinished=outputs.checkpoints)
