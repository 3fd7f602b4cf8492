"""A cascade of a few random weights, as training would leave it."""

from pathlib import Path

import torch

from scintiflow.params import load_params
from scintiflow.restoration.cascade import Cascade
from scintiflow.restoration.restorer import save_cascade

ROOT = Path(__file__).parents[2]


def small_cascade(folder: Path) -> Path:
    """Write it into `folder`, which is made; returns the folder."""
    params = load_params(ROOT / "params.yaml", ROOT / "profiles" / "laptop.yaml").train_cascade
    small = params.model_copy(update={"first": params.first.model_copy(update={"width": 8, "blocks": [1, 1]})})
    small = small.model_copy(update={"second": small.first})
    torch.manual_seed(3)
    network = Cascade(small)
    for parameter in network.parameters():  # off the zero-initialised head, so that the weights matter
        torch.nn.init.normal_(parameter, std=0.05)
    folder.mkdir()
    save_cascade(folder, network, small, "0" * 64)
    return folder
