"""LPIPS and Inception's features: only with the real weights, verified by SHA-256, else said to be not available.

No network with random weights ever appears under a real metric's name, and nothing is downloaded.
LPIPS (Zhang 2018): AlexNet trunk from a file, linear heads from the `lpips` package.
FID (Heusel 2017) and KID (Binkowski 2018): Inception from a file, through torchmetrics.
Images are shown to both networks in a fixed linear window, 0 to the declared data range.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lpips
import numpy as np
import torch
from torchmetrics.image.fid import FrechetInceptionDistance
from torchvision.models import alexnet

from scintiflow.errors import ScintiflowError
from scintiflow.evaluation.sam_features import SamEncoder, load_sam_encoder
from scintiflow.evaluation.weights import NotAvailable, verified
from scintiflow.params import EvaluateParams

SMALLEST_SIDE = 35  # AlexNet's five stages need at least this many pixels
INCEPTION_SIDE = 299
INCEPTION_FEATURES = 2048
BATCH = 8


class Lpips:
    """Learned perceptual distance of two views in counts, linear window 0 to `data_range`; 0 means equal."""

    def __init__(self, trunk: Path, data_range: float) -> None:
        self._data_range = data_range
        network = alexnet(weights=None)
        _load(network, trunk)
        with torch.random.fork_rng(devices=[]):
            self._metric = lpips.LPIPS(net="alex", pretrained=True, pnet_rand=True, verbose=False).eval()
        for stage in (getattr(self._metric.net, f"slice{number}") for number in range(1, 6)):
            for position, layer in stage.named_children():
                layer.load_state_dict(network.features[int(position)].state_dict())

    @torch.inference_mode()
    def __call__(self, estimate: np.ndarray, reference: np.ndarray) -> float:
        """Distance of two views `[row, column]` in counts; NaN if a side is shorter than `SMALLEST_SIDE`."""
        if min(estimate.shape) < SMALLEST_SIDE:
            return math.nan
        return float(self._metric(self._prepared(estimate), self._prepared(reference)))

    def _prepared(self, view: np.ndarray) -> torch.Tensor:
        shown = np.clip(np.asarray(view, dtype=np.float32) / self._data_range, 0, 1) * 2 - 1
        return torch.from_numpy(shown)[None, None].expand(1, 3, -1, -1)


class Inception:
    """Features of views, by the network of FID and KID."""

    def __init__(self, weights: Path, data_range: float, features: int = INCEPTION_FEATURES) -> None:
        self._data_range = data_range
        _load(None, weights)
        try:
            built = FrechetInceptionDistance(feature=features, feature_extractor_weights_path=str(weights))
        except RuntimeError as error:  # keys or shapes of another network
            raise _foreign(weights, error) from None
        self._network = built.inception.eval()

    @torch.inference_mode()
    def __call__(self, views: list[np.ndarray]) -> np.ndarray:
        """Features float32 `[view, feature]` of views `[row, column]` in counts, of any size."""
        pictures = np.stack([inception_picture(view, self._data_range) for view in views])
        batches = [torch.from_numpy(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH)]
        return torch.cat([self._network(batch[:, None].expand(-1, 3, -1, -1)) for batch in batches]).float().numpy()


@dataclass(frozen=True)
class Perceptual:
    """Each network, real or not available."""

    lpips: Lpips | NotAvailable
    inception: Inception | NotAvailable
    sam: SamEncoder | NotAvailable

    def reasons(self) -> dict[str, str]:
        """What is not available and why, by metric."""
        networks = {"lpips": self.lpips, "fid": self.inception, "kid": self.inception, "sam_frechet": self.sam}
        return {name: network.reason for name, network in networks.items() if isinstance(network, NotAvailable)}


def load_perceptual(params: EvaluateParams, sam_folder: Path | None = None) -> Perceptual:
    """Build what the parameters give weights for. A wrong SHA-256 is a ScintiflowError, never a fallback."""
    trunk = verified(params.lpips_trunk, params.lpips_trunk_sha256, "lpips_trunk", "AlexNet")
    inception = verified(params.inception, params.inception_sha256, "inception", "Inception")
    data_range = params.data_range_counts
    return Perceptual(
        lpips=trunk if isinstance(trunk, NotAvailable) else Lpips(trunk, data_range),
        inception=inception if isinstance(inception, NotAvailable) else Inception(inception, data_range),
        sam=_sam(params, sam_folder),
    )


def inception_picture(view: np.ndarray, data_range: float) -> np.ndarray:
    """A view in counts as uint8 `[299, 299]`, linear window 0 to `data_range`."""
    shown = torch.from_numpy(np.clip(np.asarray(view, dtype=np.float32) / data_range, 0, 1) * 255)[None, None]
    square = torch.nn.functional.interpolate(shown, (INCEPTION_SIDE, INCEPTION_SIDE), mode="bilinear", antialias=True)
    return square[0, 0].round().to(torch.uint8).numpy()


def _sam(params: EvaluateParams, folder: Path | None) -> SamEncoder | NotAvailable:
    if not params.sam_frechet_patients:
        return NotAvailable("switched off (evaluate.sam_frechet_patients is 0)")
    if folder is None:
        return NotAvailable("no adapted SAM was given")
    return load_sam_encoder(folder)


def _load(network: torch.nn.Module | None, path: Path) -> None:
    """Load a state dict that holds tensors and nothing executable; with no network only check that it does."""
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
        if network is not None:
            network.load_state_dict(state)
    except Exception as error:
        raise _foreign(path, error) from None


def _foreign(path: Path, error: Exception) -> ScintiflowError:
    return ScintiflowError(
        f"is not a state dict of the expected network ({type(error).__name__})",
        where=path,
        remedy="Give the PyTorch weights file (.pth) that the documentation names",
    )
