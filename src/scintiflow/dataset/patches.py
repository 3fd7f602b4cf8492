"""Batches of training patches, drawn from studies in memory.

A batch depends on the seed and on its number alone, not on what was drawn before: a run that resumes at
step n sees what the uninterrupted run saw, and workers may share the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from scintiflow.dataset.augmentation import draw_binning, draw_count_share
from scintiflow.dataset.examples import Example, Study, Thinning, aligned_pair, cut, left_to_right, thinned_window
from scintiflow.dataset.manifest import Dataset, modality_of, shift_pixels
from scintiflow.dataset.priors import load_prior
from scintiflow.errors import ScintiflowError
from scintiflow.params import AugmentationParams
from scintiflow.structures import BODY, STRUCTURES

BODY_SHARE_OF_CENTRES = 0.9  # the other patches may lie anywhere, so that empty background is seen too
COUNT_RATIO_JITTER = 0.15  # thinned inputs are k (1 +- this) times poorer: the network learns a function of k
OPPOSITE_LEFT_OUT = 0.1  # share of two-view patches without their opposite, so that single views are known too
SMALLEST_PATCH = 32

MaskSource = Literal["standard", "rapid"]


@dataclass(frozen=True)
class Batch:
    """Stacked examples: float32 `input`, `target` `[n, 1, row, column]`, `masks` in 0..1
    `[n, structure, row, column]`, `k` and `target_share` `[n]`, `opposite` `[n, 2, row, column]` or None,
    `weight_if_too_low` like `input` or None: see `restoration.counts.restoration_loss`."""

    input: np.ndarray
    k: np.ndarray
    target: np.ndarray
    target_share: np.ndarray
    masks: np.ndarray
    opposite: np.ndarray | None = None
    weight_if_too_low: np.ndarray | None = None


def load_studies(dataset: Dataset, priors: Path, split: str, masks_from: MaskSource = "standard") -> list[Study]:
    """Read every study of a split with the masks of one of its scans into memory.

    Raises ScintiflowError if the split is empty, a prior is absent or its shape is not the scan's.
    """
    studies = [load_study(dataset, priors, row, masks_from) for row in dataset.rows(split)]
    if not studies:
        raise ScintiflowError(f"has no {split} studies", where=dataset.folder, remedy="Add patients to the cohorts")
    return studies


def load_study(dataset: Dataset, priors: Path, row: pd.Series, masks_from: MaskSource = "standard") -> Study:
    """Read one study of the manifest with its masks.

    Masks of the standard scan are privileged and know the noise of every target that is cut from that scan. Masks
    of the rapid scan do not; they are moved to the standard scan's frame by the measured whole-pixel shift.
    """
    pair, prior = dataset.pair(row["study"]), load_prior(priors, row["study"])
    masks = prior.masks_standard if masks_from == "standard" else prior.masks_rapid
    if masks.shape != (len(STRUCTURES), *pair.standard.shape):
        raise ScintiflowError(
            f"masks {masks.shape} do not belong to a scan {pair.standard.shape}",
            where=priors / f"{row['study']}.npz",
            remedy="Run the distil_priors stage again",
        )
    shifts = tuple(shift_pixels(row, view) for view in range(len(pair.rapid)))
    study = Study(pair.rapid, pair.standard, masks, float(row["count_ratio"]), shifts, modality_of(row))
    return study if masks_from == "standard" else _with_moved_masks(study)


class PatchSampler:
    """Draws batches of patches; `batch(step)` is a pure function of the studies, the settings and `step`."""

    def __init__(
        self,
        studies: Sequence[Study],
        *,
        patch_pixels: int,
        patches: int,
        thinned_share: float,
        seed: int,
        augmentation: AugmentationParams | None = None,
        views: int = 1,
    ) -> None:
        """`views` 2 adds the mirrored opposite view; no augmentation leaves counts, speeds and pixels as they are."""
        if thinned_share > 0:
            _refuse_uncounted(studies)
        self._studies, self._patches = studies, patches
        self._thinned_share, self._seed, self._views = thinned_share, seed, views
        self._augmentation = augmentation or AugmentationParams()
        self._shape = _patch_shape(studies, patch_pixels, self._augmentation)
        self._body = [
            [_body_pixels(study.masks[BODY, view]) for view in range(len(study.masks[0]))] for study in studies
        ]

    @property
    def patch_shape(self) -> tuple[int, int]:
        """Rows and columns of every patch: `patch_pixels`, or less where the scans are smaller."""
        return self._shape

    def batch(self, step: int) -> Batch:
        """The batch of this step."""
        generator = np.random.default_rng(np.random.SeedSequence([self._seed, step]))
        examples = [self.example(generator) for _ in range(self._patches)]
        return Batch(
            input=np.stack([example.input for example in examples])[:, None].astype(np.float32),
            k=np.array([example.k for example in examples], np.float32),
            target=np.stack([example.target for example in examples])[:, None].astype(np.float32),
            target_share=np.array([example.target_share for example in examples], np.float32),
            masks=np.stack([example.masks for example in examples]).astype(np.float32) / np.float32(255),
            opposite=_stacked([example.opposite for example in examples]),
        )

    def example(self, generator: np.random.Generator) -> Example:
        """One patch of a random study and view, mirrored left to right in half of the cases."""
        number = int(generator.integers(len(self._studies)))
        study = self._studies[number]
        view = int(generator.integers(len(study.rapid)))
        _, _, rows, columns = study.overlap(view)
        thinned = bool(generator.random() < self._thinned_share)
        binning = thinned and draw_binning(self._augmentation, generator)
        shape = study.standard.shape[1:] if thinned else _extent(rows, columns)
        centre = self._centre(number, view, generator)
        if not thinned:  # place within the overlap
            centre = centre[0] - rows.start, centre[1] - columns.start
        size = (2 * self._shape[0], 2 * self._shape[1]) if binning else self._shape
        top, left = (_start(centre[axis], size[axis], shape[axis]) for axis in (0, 1))
        window = slice(top, top + size[0]), slice(left, left + size[1])
        if thinned:
            thinning = Thinning(self._k(study, generator), draw_count_share(self._augmentation, generator), binning)
            example = thinned_window(study, view, window, thinning, generator, self._views)
        else:
            example = cut(aligned_pair(study, view, self._views), window)
        if example.opposite is not None and generator.random() < OPPOSITE_LEFT_OUT:
            example.opposite[:] = 0
        return left_to_right(example) if generator.random() < 0.5 else example

    def _k(self, study: Study, generator: np.random.Generator) -> float:
        if self._augmentation.accelerations:
            lowest, highest = self._augmentation.accelerations
            return float(generator.uniform(lowest, highest))
        return study.k * float(generator.uniform(1 - COUNT_RATIO_JITTER, 1 + COUNT_RATIO_JITTER))

    def _centre(self, study: int, view: int, generator: np.random.Generator) -> tuple[int, int]:
        rows, columns = self._studies[study].standard.shape[1:]
        body = self._body[study][view]
        anywhere = generator.random() >= BODY_SHARE_OF_CENTRES or not len(body)
        pixel = int(generator.integers(rows * columns) if anywhere else body[generator.integers(len(body))])
        return divmod(pixel, columns)


def _refuse_uncounted(studies: Sequence[Study]) -> None:
    if not all(study.modality.is_counted for study in studies):
        raise ScintiflowError(
            "must be 0: levels of a picture are no counts, and thinning them would make no poorer picture",
            where="train_cascade.thinned_share",
            remedy="Set it to 0, as profiles/endoscopy.yaml does",
        )


def _with_moved_masks(study: Study) -> Study:
    """The study with masks, given in the frame of its rapid scan, in the frame of its standard scan."""
    masks = np.zeros_like(study.masks)
    for view in range(len(study.rapid)):
        rapid_rows, rapid_columns, rows, columns = study.overlap(view)
        masks[:, view, rows, columns] = study.masks[:, view, rapid_rows, rapid_columns]
    return replace(study, masks=masks)


def _stacked(opposites: Sequence[np.ndarray | None]) -> np.ndarray | None:
    present = [opposite for opposite in opposites if opposite is not None]
    return np.stack(present).astype(np.float32) if present else None


def _extent(rows: slice, columns: slice) -> tuple[int, int]:
    return rows.stop - rows.start, columns.stop - columns.start


def _start(centre: int, patch: int, length: int) -> int:
    return int(np.clip(centre - patch // 2, 0, length - patch))


def _body_pixels(body: np.ndarray) -> np.ndarray:
    return np.flatnonzero(body > 127).astype(np.int32)


def _patch_shape(studies: Sequence[Study], patch_pixels: int, augmentation: AugmentationParams) -> tuple[int, int]:
    extents = [_extent(*study.overlap(view)[:2]) for study in studies for view in range(len(study.rapid))]
    rows, columns = (min(patch_pixels, *(extent[axis] for extent in extents)) for axis in (0, 1))
    if min(rows, columns) < SMALLEST_PATCH:
        raise ScintiflowError(
            f"the smallest scan leaves patches of {rows} x {columns} pixels",
            where="train_cascade.patch_pixels",
            remedy=f"Train on scans that overlap by at least {SMALLEST_PATCH} pixels",
        )
    narrowest = [min(study.standard.shape[axis] for study in studies) for axis in (1, 2)]
    if augmentation.binned_share and (2 * rows > narrowest[0] or 2 * columns > narrowest[1]):
        raise ScintiflowError(
            f"patches of {rows} x {columns} summed pixels do not fit into scans of {narrowest[0]} x {narrowest[1]}",
            where="train_cascade.augmentation.binned_share",
            remedy="Give smaller patch_pixels, or 0",
        )
    return rows, columns
