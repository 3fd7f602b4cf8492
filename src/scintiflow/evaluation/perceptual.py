"""LPIPS and FID: only with the real weights, verified by SHA-256, else said to be not available.

No network with random weights ever appears under a real metric's name, and nothing is downloaded.
LPIPS (Zhang 2018): AlexNet trunk from a file, linear heads from the `lpips` package.
FID (Heusel 2017): Inception from a file, through torchmetrics.
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
from scintiflow.files import sha256_file
from scintiflow.params import EvaluateParams

SMALLEST_SIDE = 35  # AlexNet's five stages need at least this many pixels
FID_SIDE = 299


@dataclass(frozen=True)
class NotAvailable:
    """A metric that cannot be computed here, and why."""

    reason: str

    def __str__(self) -> str:
        return f"not available: {self.reason}"


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


class Fid:
    """Frechet distance of two sets of views. Rank-deficient below about 2048 views: read it with that in mind."""

    def __init__(self, weights: Path, features: int = 2048) -> None:
        _load(None, weights)
        self._metric = FrechetInceptionDistance(feature=features, feature_extractor_weights_path=str(weights))

    @torch.inference_mode()
    def __call__(self, estimates: np.ndarray, references: np.ndarray) -> float:
        """`fid_picture`s uint8 `[view, row, column]` of both sets; NaN for fewer than two views in a set."""
        if min(len(estimates), len(references)) < 2:
            return math.nan
        self._metric.reset()
        for pictures, real in ((references, True), (estimates, False)):
            for start in range(0, len(pictures), 8):
                batch = torch.from_numpy(pictures[start : start + 8])[:, None].expand(-1, 3, -1, -1)
                self._metric.update(batch, real=real)
        return float(self._metric.compute())


@dataclass(frozen=True)
class Perceptual:
    """Both metrics, each real or not available."""

    lpips: Lpips | NotAvailable
    fid: Fid | NotAvailable

    def reasons(self) -> dict[str, str]:
        """What is not available and why, by metric name."""
        return {name: metric.reason for name, metric in vars(self).items() if isinstance(metric, NotAvailable)}


def load_perceptual(params: EvaluateParams) -> Perceptual:
    """Build what the parameters give weights for. A wrong SHA-256 is a ScintiflowError, never a fallback."""
    trunk = _verified(params.lpips_trunk, params.lpips_trunk_sha256, "lpips_trunk", "AlexNet")
    inception = _verified(params.inception, params.inception_sha256, "inception", "Inception")
    return Perceptual(
        lpips=trunk if isinstance(trunk, NotAvailable) else Lpips(trunk, params.data_range_counts),
        fid=inception if isinstance(inception, NotAvailable) else Fid(inception),
    )


def fid_picture(view: np.ndarray, data_range: float) -> np.ndarray:
    """A view in counts as uint8 `[299, 299]`, linear window 0 to `data_range`."""
    shown = torch.from_numpy(np.clip(np.asarray(view, dtype=np.float32) / data_range, 0, 1) * 255)[None, None]
    square = torch.nn.functional.interpolate(shown, (FID_SIDE, FID_SIDE), mode="bilinear", antialias=True)
    return square[0, 0].round().to(torch.uint8).numpy()


def _verified(path: str, sha256: str, key: str, network: str) -> Path | NotAvailable:
    if not path:
        return NotAvailable(f"no {network} weights given (evaluate.{key})")
    if not sha256:
        raise ScintiflowError(
            "weights are named without their SHA-256",
            where=f"evaluate.{key}",
            remedy=f"Set evaluate.{key}_sha256 to the published hash",
        )
    weights = Path(path)
    if not weights.is_file():
        return NotAvailable(f"{network} weights are absent: {path}")
    found = sha256_file(weights)
    if found != sha256:
        raise ScintiflowError(
            f"SHA-256 is {found}, expected {sha256}",
            where=weights,
            remedy=f"Fetch the {network} weights again, or correct evaluate.{key}_sha256",
        )
    return weights


def _load(network: torch.nn.Module | None, path: Path) -> None:
    """Load a state dict that holds tensors and nothing executable; with no network only check that it does."""
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
        if network is not None:
            network.load_state_dict(state)
    except Exception as error:
        raise ScintiflowError(
            f"is not a state dict of the expected network ({type(error).__name__})",
            where=path,
            remedy="Give the PyTorch weights file (.pth) that the documentation names",
        ) from None
