"""Stage ablation_arm: train the cascade with parts of the method taken away, score both networks.

f^IR1 is what inference runs. f^IR2 is scored beside it with masks from the **rapid** scan, which a clinic would
have; with masks from the standard scan it would know what it is asked for.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scintiflow.counts import counts_sha256
from scintiflow.dataset.manifest import Dataset
from scintiflow.dataset.priors import load_prior
from scintiflow.evaluation.ablation import ARM, FIRST, SCORES, SECOND, SEED
from scintiflow.evaluation.baselines import Restorer
from scintiflow.evaluation.scoring import score_dataset
from scintiflow.files import whole_folder
from scintiflow.params import AblationArmParams
from scintiflow.restoration.restorer import load_restorer, load_second_restorer
from scintiflow.restoration.variants import ablation_arm
from scintiflow.stages import train_cascade
from scintiflow.tracking import Tracker

UNADAPTED = "unadapted"


@dataclass(frozen=True)
class Inputs:
    dataset: Path
    priors: Path
    unadapted_priors: Path
    truth: Path


@dataclass(frozen=True)
class Outputs:
    """`checkpoints`: where a killed training is taken up again; beside the output by default."""

    scores: Path
    checkpoints: Path | None = None


def run(params: AblationArmParams, inputs: Inputs, outputs: Outputs, tracker: Tracker) -> dict[str, float]:
    """Write `scores.parquet`: the columns of `patients.parquet`, the arm and the seed; methods 'first', 'second'.

    Returns what training reports, and mean PSNR of both networks.
    """
    dataset = Dataset.open(inputs.dataset)
    priors = inputs.unadapted_priors if params.arm == UNADAPTED else inputs.priors
    recipe = ablation_arm(params.train_cascade, params.arm)
    checkpoints = outputs.checkpoints or outputs.scores.with_name(f"{outputs.scores.name}.checkpoint")
    masks = _masks_of(dataset, priors)
    with tempfile.TemporaryDirectory() as folder:
        cascade = Path(folder) / "cascade"
        report = train_cascade.run(
            recipe,
            train_cascade.Inputs(inputs.dataset, priors),
            train_cascade.Outputs(cascade, checkpoints),
            tracker,
        )
        restorers: dict[str, Restorer] = {
            FIRST: load_restorer(cascade),
            SECOND: load_second_restorer(cascade, masks),
        }
        # regions come from the adapted SAM in every arm, so that all are scored alike
        table = score_dataset(dataset, "test", restorers, inputs.truth, inputs.priors, params.evaluate)
    table = table[table["method"].isin(restorers)].assign(**{ARM: params.arm, SEED: recipe.seed})
    with whole_folder(outputs.scores) as partial:
        table.to_parquet(partial / SCORES, index=False)
    means = table.groupby("method")[["psnr_truth", "psnr_standard"]].mean()
    return report | {
        f"{metric}_{method}": float(value) for method, row in means.iterrows() for metric, value in row.items()
    }


def _masks_of(dataset: Dataset, priors: Path):
    """Soft masks in 0..1 of a rapid scan, found by its counts."""
    studies = dict(zip(dataset.table["rapid_counts_sha256"], dataset.table["study"], strict=True))

    def masks(rapid: np.ndarray) -> np.ndarray:
        return load_prior(priors, studies[counts_sha256(rapid)]).masks_rapid / np.float32(255)

    return masks
