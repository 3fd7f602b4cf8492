"""The best weights so far, and whether it is still worth going on."""

import math

from torch import Tensor, nn


class BestSoFar:
    """Remembers the best validation and its weights; survives in a checkpoint as plain values.

    `patience` is the number of validations without a new best after which training is over; with 0 nothing is
    remembered, and it never is.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.psnr = -math.inf
        self.validations_since = 0
        self.weights: dict[str, Tensor] | None = None

    @property
    def is_over(self) -> bool:
        """Whether patience is at its end."""
        return self.patience > 0 and self.validations_since >= self.patience

    def note(self, psnr: float, network: nn.Module) -> None:
        """Take down one validation of `network`."""
        if not self.patience:
            return
        self.validations_since += 1
        if psnr > self.psnr:
            self.psnr, self.validations_since = psnr, 0
            self.weights = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}

    def return_to(self, network: nn.Module) -> None:
        """Give `network` the best weights, if there are any."""
        if self.weights is not None:
            network.load_state_dict(self.weights)

    def state(self) -> dict:
        return {"psnr": self.psnr, "validations_since": self.validations_since, "weights": self.weights}

    def restore(self, state: dict) -> None:
        self.psnr, self.validations_since = float(state["psnr"]), int(state["validations_since"])
        self.weights = state["weights"]
