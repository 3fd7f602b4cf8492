"""Networks that are trained only to be compared with: at the model's own budget, on the model's own data.

Training them costs what training the model cost, once for each, inside the evaluate stage; a killed run goes on
from its checkpoint. `evaluate.trained_baselines` in params.yaml names those that are wanted.
"""

from pathlib import Path

from scintiflow.dataset.manifest import Dataset
from scintiflow.dataset.patches import load_studies
from scintiflow.evaluation.baselines import Restorer
from scintiflow.restoration.restorer import load_restorer, recipe_of, save_cascade
from scintiflow.restoration.training import train
from scintiflow.restoration.variants import BASELINES
from scintiflow.tracking import SilentTracker

NOT_TRAINED = "not trained here (evaluate.trained_baselines does not name it); benchmarks/restoration.py trains it"


def train_baseline(name: str, dataset: Dataset, priors: Path, cascade: Path, folder: Path) -> Restorer:
    """Train a baseline with the recipe of the cascade that is evaluated.

    Args:
        name: 'unet' or 'first_alone', see `restoration.variants`.
        priors: the body's outline weighs the loss; no other mask is used.
        cascade: folder of the model, which knows its recipe.
        folder: where weights and checkpoints of the baseline go.
    """
    params = BASELINES[name](recipe_of(cascade))
    training, held_out = (
        load_studies(dataset, priors, split, params.masks_from) for split in ("train", "validation")
    )
    module = train(params, training, held_out, folder / f"{name}.checkpoint", params.sha256(), SilentTracker())
    trained = folder / name
    trained.mkdir(parents=True, exist_ok=True)
    save_cascade(trained, module.averaged_cascade, params, "")
    return load_restorer(trained)
