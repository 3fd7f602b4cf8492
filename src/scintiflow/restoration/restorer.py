"""The trained cascade as a folder, and f^IR1 out of that folder as a function.

- `first.safetensors` of f^IR1 (averaged weights): all that inference needs;
- `second.safetensors` of f^IR2, kept for continued training and for study;
- `cascade.json`: networks, versions, hashes, numbers of parameters;
- `curves.csv`, `curves.png`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  the field's usual name
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scintiflow.dataset.opposite import opposite_views
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file, write_json
from scintiflow.modality import BONE_SCAN, MODALITIES, Modality
from scintiflow.params import NetworkParams, TrainCascadeParams
from scintiflow.restoration.cascade import Cascade, FirstNetwork, Restored
from scintiflow.restoration.counts import INPUT_CHANNELS, OPPOSITE_CHANNELS, count_true
from scintiflow.restoration.model_folder import (
    DESCRIPTION,
    FIRST,
    REFERENCE,
    REFERENCE_FOLDER,
    SECOND,
    checked_weights,
    description_of,
    modality_of_cascade,
)
from scintiflow.structures import STRUCTURES

STEM_WEIGHT = "backbone.stem.weight"
MIRRORED_PIXELS = 16  # beyond the frame of a picture the scene goes on; convolutions would take it for black
WEIGHTS_MODE = 0o644  # the library writes files that only their owner may read


class RestorationNetwork(nn.Module):
    """f^IR1 over whole scans: counts `[scan, view, row, column]` and k -> estimated standard counts, same shape.

    A network of two views takes the other view of the same scan as its second input, where a scan has two.
    `count_true_pixels` is the reach within which counts stay what was measured, see `count_true`; 0 leaves them.
    `mirrored_pixels` is the width of the border that continues the image while the network sees it, mirrored at its
    edge; 0 where nothing lies beyond, as beside a body that was scanned. Images must be larger.
    """

    def __init__(self, first: FirstNetwork, count_true_pixels: float = 0.0, mirrored_pixels: int = 0) -> None:
        super().__init__()
        self.first, self.count_true_pixels, self.mirrored_pixels = first, count_true_pixels, mirrored_pixels

    def forward(self, counts: Tensor, k: Tensor | float) -> Tensor:
        """Restore; `k` is one number or one for each scan, the expected standard / rapid count ratio."""
        return torch.cat([self.one_view(*inputs) for inputs in self._inputs(counts, k)]).reshape(counts.shape)

    def one_view(self, counts: Tensor, k: Tensor, opposite: Tensor | None = None) -> Tensor:
        """One view restored, `[1, 1, row, column]`; arguments as `FirstNetwork.forward` has them."""
        estimate = self._estimate(counts, k, opposite)
        if self.count_true_pixels:
            estimate = count_true(estimate, counts * k.view(-1, 1, 1, 1), self.count_true_pixels)
        return estimate

    def _estimate(self, counts: Tensor, k: Tensor, opposite: Tensor | None) -> Tensor:
        width = self.mirrored_pixels
        if not width:
            return self.first(counts, k, opposite).counts
        border = (width, width, width, width)
        beside = None if opposite is None else F.pad(opposite, border, mode="reflect")
        wider = self.first(F.pad(counts, border, mode="reflect"), k, beside)
        return wider.counts[..., width:-width, width:-width]

    def masks(self, counts: Tensor, k: Tensor | float) -> Tensor:
        """Soft masks that the prior head sees in rapid scans, `[scan, structure, view, row, column]` in 0..1.

        Raises ValueError if f^IR1 was trained without a prior head.
        """
        scans, views, rows, columns = counts.shape
        masks = [self.first.mask_logits(restored).sigmoid() for restored in self.by_view(counts, k)]
        return torch.cat(masks).reshape(scans, views, len(STRUCTURES), rows, columns).transpose(1, 2)

    def by_view(self, counts: Tensor, k: Tensor | float) -> Iterator[Restored]:
        """View by view, which bounds the memory; what f^IR1 gives, before `count_true`."""
        return (self.first(*inputs) for inputs in self._inputs(counts, k))

    def _inputs(self, counts: Tensor, k: Tensor | float) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        ratios = torch.as_tensor(k, dtype=torch.float32, device=counts.device).expand(len(counts))
        for scan, ratio in zip(counts, ratios, strict=True):
            opposites = self._opposites(scan)
            for view, opposite in zip(scan.float(), opposites, strict=True):
                yield view[None, None], ratio.view(1), opposite

    def _opposites(self, scan: Tensor) -> list[Tensor | None]:
        if self.first.views == 1:
            return [None] * len(scan)
        found = opposite_views(scan.cpu().numpy())
        return [torch.from_numpy(opposite[None].astype(np.float32)).to(scan.device) for opposite in found]


def save_cascade(
    folder: Path,
    cascade: Cascade,
    params: TrainCascadeParams,
    training_set_sha256: str,
    accelerations: list[float] | None = None,
    modality: Modality = BONE_SCAN,
) -> None:
    """Write weights and description into an existing folder.

    `accelerations` are the lowest and highest k that were trained; default what the recipe's augmentation says.
    """
    for network, name in ((cascade.first, FIRST), (cascade.second, SECOND)):
        save_file(_plain(network), folder / name)
        (folder / name).chmod(WEIGHTS_MODE)
    description = {
        "accelerations": accelerations or params.augmentation.accelerations,
        "base_blur_pixels": params.base_blur_pixels,
        "count_true_pixels": params.count_true_pixels,
        "first": params.first.model_dump(),
        "first_parameters": _parameters(cascade.first),
        "first_sha256": sha256_file(folder / FIRST),
        "modality": modality.name,
        "params_sha256": params.sha256(),
        "patch_pixels": params.patch_pixels,
        "prior_head": cascade.first.prior_head is not None,
        "recipe": params.model_dump(),
        "second": params.second.model_dump(),
        "second_parameters": _parameters(cascade.second),
        "second_sha256": sha256_file(folder / SECOND),
        "spi": params.spi,
        "steps": params.steps,
        "torch": torch.__version__,
        "training_set_sha256": training_set_sha256,
        "views": params.views,
    }
    write_json(folder / DESCRIPTION, description)


def load_network(cascade_folder: Path) -> RestorationNetwork:
    """f^IR1 with its trained weights, in evaluation mode on the CPU.

    Raises ScintiflowError if the folder is incomplete or the weights are not the described ones.
    """
    description = description_of(cascade_folder)
    weights = checked_weights(cascade_folder)
    network = NetworkParams.model_validate(description["first"])
    first = FirstNetwork(
        network,
        description["base_blur_pixels"],
        description["patch_pixels"],
        description.get("views", 1),  # absent in folders written before these two existed
        description.get("prior_head", False),
    )
    first.load_state_dict(load_file(weights))
    reach = description.get("count_true_pixels", 0.0)
    mirrored = 0 if MODALITIES[modality_of_cascade(cascade_folder)].is_counted else MIRRORED_PIXELS
    return RestorationNetwork(first.to(memory_format=torch.channels_last), reach, mirrored).eval()


def starting_weights(params: TrainCascadeParams) -> dict[str, Tensor] | None:
    """State of the f^IR1 that `params.start_from` names; None where training starts from nothing.

    A network of two views may start from one of a single view: it does not look at the opposite view at first.

    Raises ScintiflowError if the weights are not the named ones, or belong to another network.
    """
    if not params.start_from:
        return None
    folder = REFERENCE_FOLDER if params.start_from == REFERENCE else Path(params.start_from)
    description = description_of(folder)
    if description["first_sha256"] != params.start_from_sha256:
        raise ScintiflowError(
            f"holds weights with SHA-256 {description['first_sha256']}",
            where=folder,
            remedy="Give that as train_cascade.start_from_sha256, or name another folder",
        )
    wanted = {
        "base_blur_pixels": params.base_blur_pixels,
        "first": params.first.model_dump(),
        "prior_head": params.prior_head_weight > 0,
        "views": params.views,
    }
    gains_a_view = (description["views"], params.views) == (1, 2)
    for name, value in wanted.items():
        if description[name] != value and not (name == "views" and gains_a_view):
            raise ScintiflowError(
                f"was trained with {name} = {description[name]}, not {value}",
                where=folder,
                remedy="Set it so in train_cascade, or clear train_cascade.start_from",
            )
    state = load_network(folder).first.state_dict()
    if gains_a_view:
        stem = state[STEM_WEIGHT]  # [width, input channel, y, x]; those of the opposite view follow the others
        added = stem.shape[1] * OPPOSITE_CHANNELS // INPUT_CHANNELS
        state[STEM_WEIGHT] = torch.cat([stem, stem.new_zeros(len(stem), added, *stem.shape[2:])], 1)
    return state


def load_restorer(cascade_folder: Path, device: str = "cpu") -> Callable[[np.ndarray, float], np.ndarray]:
    """A function (rapid counts `[view, row, column]`, k) -> estimated standard counts, float32, same shape.

    Uses f^IR1 alone: no masks, no SAM, no f^IR2. Any number of views, rows and columns.
    """
    network = load_network(cascade_folder).to(device)

    def restore(rapid: np.ndarray, k: float) -> np.ndarray:
        if rapid.ndim != 3:
            raise ValueError(f"counts must be [view, row, column], got {rapid.shape}")
        counts = torch.from_numpy(np.ascontiguousarray(rapid, dtype=np.float32)).to(device)
        with torch.no_grad():
            return network(counts[None], k)[0].cpu().numpy()

    return restore


def load_second_restorer(
    cascade_folder: Path, masks_of: Callable[[np.ndarray], np.ndarray], device: str = "cpu"
) -> Callable[[np.ndarray, float], np.ndarray]:
    """Like `load_restorer`, but f^IR2's answer, which inference never gives: for ablations.

    `masks_of` gives the soft masks `[structure, view, row, column]` in 0..1 of a rapid scan's counts.
    """
    cascade = Cascade(recipe_of(cascade_folder))
    for network, weights in ((cascade.first, FIRST), (cascade.second, SECOND)):
        network.load_state_dict(load_file(cascade_folder / weights))
    cascade.to(device).eval()
    whole = RestorationNetwork(cascade.first)

    def restore(rapid: np.ndarray, k: float) -> np.ndarray:
        masks = torch.from_numpy(np.ascontiguousarray(masks_of(rapid), dtype=np.float32)).to(device)
        counts = torch.from_numpy(np.ascontiguousarray(rapid, dtype=np.float32)).to(device)
        with torch.no_grad():
            views = [
                cascade.second(first, masks[None, :, view]).counts[0, 0]
                for view, first in enumerate(whole.by_view(counts[None], k))
            ]
        return torch.stack(views).cpu().numpy()

    return restore


def origin_of(cascade_folder: Path) -> str:
    """What training started from, in words."""
    recipe = description_of(cascade_folder).get("recipe", {})
    if not recipe.get("start_from"):
        return "nothing: random weights"
    return f"{recipe['start_from']}, an f^IR1 with SHA-256 {recipe['start_from_sha256']}"


def recipe_of(cascade_folder: Path) -> TrainCascadeParams:
    """The parameters that the cascade was trained with.

    Raises ScintiflowError for a folder written before these were kept.
    """
    recipe = description_of(cascade_folder).get("recipe")
    if recipe is None:
        raise ScintiflowError(
            "does not say how it was trained", where=cascade_folder, remedy="Run the train_cascade stage again"
        )
    return TrainCascadeParams.model_validate(recipe)


def _plain(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
