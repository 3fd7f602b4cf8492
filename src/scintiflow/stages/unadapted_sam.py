"""Stage unadapted_sam: SAM as it comes, for the ablation's arm without adaptation."""

from dataclasses import dataclass
from pathlib import Path

from scintiflow.params import AdaptSamParams
from scintiflow.sam.unadapted import save_unadapted
from scintiflow.tracking import Tracker


@dataclass(frozen=True)
class Inputs:
    """It reads nothing: the parameters name the checkpoint."""


@dataclass(frozen=True)
class Outputs:
    sam: Path


def run(params: AdaptSamParams, inputs: Inputs, outputs: Outputs, tracker: Tracker) -> dict[str, float]:
    """Write `adapter.pt` and `sam.json` to `outputs.sam`; see `sam.unadapted`."""
    save_unadapted(params, outputs.sam)
    return {}
