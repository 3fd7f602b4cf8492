"""Stage adapt_sam: data set -> SAM adapted to bone scans, with its Dice on held-out patients."""

from dataclasses import dataclass
from pathlib import Path

from scintiflow.dataset.manifest import Dataset
from scintiflow.params import AdaptSamParams
from scintiflow.sam.adaptation import adapt
from scintiflow.tracking import Tracker


@dataclass(frozen=True)
class Inputs:
    """`truth` may be an absent or empty folder: real children have no truth."""

    dataset: Path
    truth: Path


@dataclass(frozen=True)
class Outputs:
    """`checkpoints`: where a killed run is taken up again; beside the output by default."""

    sam: Path
    checkpoints: Path | None = None


def run(params: AdaptSamParams, inputs: Inputs, outputs: Outputs, tracker: Tracker) -> dict[str, float]:
    """Write `adapter.pt`, `sam.json` and `overlays.png` to `outputs.sam`; see `sam.adaptation.adapt`."""
    dataset = Dataset.open(inputs.dataset)
    return adapt(dataset, params, outputs.sam, tracker, inputs.truth, outputs.checkpoints)
