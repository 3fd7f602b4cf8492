"""Stage distil_priors: data set and adapted SAM -> soft masks and embeddings of every study."""

import os
from dataclasses import dataclass
from pathlib import Path

from scintiflow.dataset.manifest import Dataset
from scintiflow.keyed_store import KeyedStore
from scintiflow.params import DistilPriorsParams
from scintiflow.sam.priors import distil, distil_share
from scintiflow.stages.kept_folders import kept_folder, shared_folder
from scintiflow.tracking import Tracker

PRIOR_STORE = "SCINTIFLOW_PRIOR_STORE"  # where priors are kept beyond a run; a volume on a cluster ...
PRIORS = "priors"  # ... else the folder of this name beside the checkpoints


@dataclass(frozen=True)
class Inputs:
    dataset: Path
    sam: Path


@dataclass(frozen=True)
class Outputs:
    priors: Path


def run(params: DistilPriorsParams, inputs: Inputs, outputs: Outputs, tracker: Tracker) -> dict[str, float]:
    """Write `<study>.npz` and `priors.json` to `outputs.priors`; see `sam.priors.distil`."""
    dataset = Dataset.open(inputs.dataset)
    return distil(dataset, inputs.sam, params, outputs.priors, tracker, KeyedStore(prior_store()))


def run_share(params: DistilPriorsParams, inputs: Inputs, share: int, shares: int) -> dict[str, float]:
    """Put the priors of a share of the patients into the store, for `run` to find; see `sam.priors.distil_share`."""
    store = KeyedStore(prior_store() if os.environ.get(PRIOR_STORE) else shared_folder(PRIORS, "distil_priors"))
    return distil_share(Dataset.open(inputs.dataset), inputs.sam, params, store, share, shares)


def prior_store() -> Path:
    """The folder that the environment names, else one in the volume of checkpoints, else in the working directory."""
    named = os.environ.get(PRIOR_STORE)
    return Path(named) if named else kept_folder(PRIORS)
