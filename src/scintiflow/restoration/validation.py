"""How near both networks come to the truth on held-out patients, without knowing the truth.

The target T of a pair is Poisson with mean t x truth and independent of the input, so for any estimate c

    E[(c - T / t)^2] = E[(c - truth)^2] + mean(T) / t^2

and the last term can be subtracted: the noise-corrected error. It is noisy itself, but its noise is the same for all
networks, so differences between them are far surer than the value. The default pairs are thinned standard
scans: no movement lies between their parts, which would break the correction (see `dataset.thinning`). Pictures
whose pixels are no counts are validated on their real pairs, and nothing is subtracted.

For f^IR2 the value is a little too high where its masks come from the standard scan: they know some of T's noise
(docs/explanation/restoration.md has the numbers). f^IR1 sees no masks.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scintiflow.dataset.examples import Example, Study, aligned_pair, thinned_view
from scintiflow.modality import LEVELS
from scintiflow.restoration.cascade import Cascade, Restored
from scintiflow.structures import BODY

DATA_RANGE_COUNTS = 40.0  # L of the PSNR, counts of the standard scan per pixel; see evaluate.data_range_counts
MARGIN_PIXELS = 16  # of empty surroundings left around the body
SMALLEST_ERROR = 1e-6


@dataclass(frozen=True)
class ValidationView:
    """One view, cut to the body: `[1, 1, row, column]` tensors, masks `[1, structure, row, column]`.

    `is_counted` as in `Modality`; `data_range` is L of the PSNR.
    """

    input: Tensor
    k: Tensor
    target: Tensor
    target_share: float
    masks: Tensor
    body: Tensor
    opposite: Tensor | None = None
    is_counted: bool = True

    @property
    def data_range(self) -> float:
        return DATA_RANGE_COUNTS if self.is_counted else LEVELS


def held_out_views(studies: Sequence[Study], seed: int, views: int = 1) -> list[ValidationView]:
    """What training is validated on: thinned pairs of scans, real pairs of pictures."""
    counted = [study for study in studies if study.modality.is_counted]
    pictures = [study for study in studies if not study.modality.is_counted]
    return thinned_views(counted, seed, views) + real_views(pictures, views)


def thinned_views(studies: Sequence[Study], seed: int, views: int = 1) -> list[ValidationView]:
    """Every view as one fixed thinned pair; `views` 2 adds the opposite view."""
    thinned = []
    for number, study in enumerate(studies):
        for view in range(len(study.standard)):
            generator = np.random.default_rng(np.random.SeedSequence([seed, number, view]))
            thinned.append(_validation_view(thinned_view(study, view, study.k, generator, views)))
    return thinned


def real_views(studies: Sequence[Study], views: int = 1) -> list[ValidationView]:
    """Every view as the real pair, aligned by whole pixels; what movement is left counts as error."""
    return [
        _validation_view(aligned_pair(study, view, views), study.modality.is_counted)
        for study in studies
        for view in range(len(study.standard))
    ]


@torch.no_grad()
def validate(cascade: Cascade, views: Sequence[ValidationView], device: torch.device) -> dict[str, float]:
    """Noise-corrected PSNR in dB over the body pixels of all views, `first` and `second` (with its masks)."""
    errors: dict[str, list[float]] = {"first": [], "second": []}
    pixels = [float(view.body.sum()) for view in views]
    for view in views:
        first, second = restore_view(cascade, view, device)
        errors["first"].append(_corrected_error(first, view))
        errors["second"].append(_corrected_error(second, view))
    data_range = views[0].data_range
    return {name: _psnr(float(np.average(values, weights=pixels)), data_range) for name, values in errors.items()}


@torch.no_grad()
def restore_view(cascade: Cascade, view: ValidationView, device: torch.device) -> tuple[Restored, Restored]:
    """What f^IR1, and f^IR2 with the masks, make of a view."""
    opposite = None if view.opposite is None else view.opposite.to(device)
    first = cascade.first(view.input.to(device), view.k.to(device), opposite)
    return first, cascade.second(first, view.masks.to(device))


@torch.no_grad()
def validate_restorer(restore: Callable[[Tensor, Tensor], Tensor], views: Sequence[ValidationView]) -> float:
    """Noise-corrected PSNR in dB of any function (input counts, k) -> standard counts."""
    pixels = [float(view.body.sum()) for view in views]
    errors = [corrected_error(restore(view.input, view.k), view) for view in views]
    return _psnr(float(np.average(errors, weights=pixels)), views[0].data_range)


def corrected_error(standard: Tensor, view: ValidationView) -> float:
    """Mean squared error against the truth over the body, estimated; may be below zero by chance.

    Of a picture the truth is the good picture itself.
    """
    observed = view.target / view.target_share
    squared = (standard.cpu() - observed).square()
    if view.is_counted:
        squared = squared - view.target / view.target_share**2
    return float((squared * view.body).sum() / view.body.sum())


def _corrected_error(restored: Restored, view: ValidationView) -> float:
    return corrected_error(restored.counts, view)


def _psnr(error: float, data_range: float) -> float:
    return 10 * math.log10(data_range**2 / max(error, SMALLEST_ERROR))


def _validation_view(example: Example, is_counted: bool = True) -> ValidationView:
    window = _around(example.masks[BODY] > 127)

    def tensor(image: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(image[..., *window], dtype=np.float32))

    masks = tensor(example.masks)[None] / 255
    return ValidationView(
        input=tensor(example.input)[None, None],
        k=torch.tensor([example.k], dtype=torch.float32),
        target=tensor(example.target)[None, None],
        target_share=example.target_share,
        masks=masks,
        body=(masks[:, BODY : BODY + 1] > 0.5).float(),
        opposite=None if example.opposite is None else tensor(example.opposite)[None],
        is_counted=is_counted,
    )


def _around(body: np.ndarray) -> tuple[slice, slice]:
    if not body.any():
        return slice(None), slice(None)
    slices = []
    for axis in (1, 0):
        places = np.flatnonzero(body.any(axis))
        slices.append(slice(max(0, int(places[0]) - MARGIN_PIXELS), int(places[-1]) + 1 + MARGIN_PIXELS))
    return slices[0], slices[1]
