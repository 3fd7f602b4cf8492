"""Training examples: patches of one view, in counts, with a target that is independent of the input.

An example is either

- a real pair: input R, target S, laid over each other by the manifest's shift rounded to WHOLE pixels,
  that is, cut out at shifted places; counts are never resampled, since that would correlate their noise;
- a thinned pair (see `thinning`): input A, target S - A, both from the standard scan.

A batch depends on the seed and on its number alone, not on what was drawn before: a run that resumes at
step n sees what the uninterrupted run saw, and workers may share the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from scintiflow.dataset.manifest import Dataset, shift_pixels
from scintiflow.dataset.priors import load_prior
from scintiflow.dataset.thinning import thinned_pair
from scintiflow.errors import ScintiflowError
from scintiflow.structures import BODY, STRUCTURES

BODY_SHARE_OF_CENTRES = 0.9  # the other patches may lie anywhere, so that empty background is seen too
COUNT_RATIO_JITTER = 0.15  # thinned inputs are k (1 +- this) times poorer: the network learns a function of k
SMALLEST_PATCH = 32


@dataclass(frozen=True)
class Study:
    """One child's pair with the privileged masks of the standard scan.

    Attributes:
        rapid, standard: uint16 counts `[view, row, column]`.
        masks: uint8 soft masks of the standard scan `[structure, view, row, column]`, 255 = certain.
        k: expected standard / rapid count ratio.
        shifts: for each view (rows, columns) in whole pixels; standard(r + rows, c + columns)
            shows what rapid(r, c) shows.
    """

    rapid: np.ndarray
    standard: np.ndarray
    masks: np.ndarray
    k: float
    shifts: tuple[tuple[int, int], ...]

    def overlap(self, view: int) -> tuple[slice, slice, slice, slice]:
        """Rows and columns of the rapid scan, then of the standard scan, where both were measured."""
        (row_shift, column_shift), (rows, columns) = self.shifts[view], self.rapid.shape[1:]
        rapid_rows, standard_rows = _overlap(rows, row_shift)
        rapid_columns, standard_columns = _overlap(columns, column_shift)
        return rapid_rows, rapid_columns, standard_rows, standard_columns


@dataclass(frozen=True)
class Example:
    """One patch `[row, column]`; E[target] = target_share x E[standard], E[standard] = k E[input].

    `masks` are uint8 `[structure, row, column]` in the place of the input.
    """

    input: np.ndarray
    k: float
    target: np.ndarray
    target_share: float
    masks: np.ndarray


@dataclass(frozen=True)
class Batch:
    """Stacked examples: float32 `input`, `target` `[n, 1, row, column]`, `masks` in 0..1
    `[n, structure, row, column]`, `k` and `target_share` `[n]`."""

    input: np.ndarray
    k: np.ndarray
    target: np.ndarray
    target_share: np.ndarray
    masks: np.ndarray


def load_studies(dataset: Dataset, priors: Path, split: str) -> list[Study]:
    """Read every study of a split with its prior into memory.

    Raises ScintiflowError if the split is empty, a prior is absent or its shape is not the scan's.
    """
    studies = [load_study(dataset, priors, row) for row in dataset.rows(split)]
    if not studies:
        raise ScintiflowError(f"has no {split} studies", where=dataset.folder, remedy="Add patients to the cohorts")
    return studies


def load_study(dataset: Dataset, priors: Path, row: pd.Series) -> Study:
    """Read one study of the manifest with its privileged masks."""
    pair, masks = dataset.pair(row["study"]), load_prior(priors, row["study"]).masks_standard
    if masks.shape != (len(STRUCTURES), *pair.standard.shape):
        raise ScintiflowError(
            f"masks {masks.shape} do not belong to a scan {pair.standard.shape}",
            where=priors / f"{row['study']}.npz",
            remedy="Run the distil_priors stage again",
        )
    shifts = tuple(shift_pixels(row, view) for view in range(len(pair.rapid)))
    return Study(pair.rapid, pair.standard, masks, float(row["count_ratio"]), shifts)


def aligned_pair(study: Study, view: int) -> Example:
    """A whole view as a real pair, cut to where both scans were measured."""
    rapid_rows, rapid_columns, rows, columns = study.overlap(view)
    return Example(
        input=study.rapid[view, rapid_rows, rapid_columns],
        k=study.k,
        target=study.standard[view, rows, columns],
        target_share=1.0,
        masks=study.masks[:, view, rows, columns],
    )


def thinned_view(study: Study, view: int, k: float, generator: np.random.Generator) -> Example:
    """A whole view of the standard scan as a thinned pair; the input is k times poorer."""
    return _thinned(study.standard[view], study.masks[:, view], k, generator)


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
    ) -> None:
        self._studies, self._patches = studies, patches
        self._thinned_share, self._seed = thinned_share, seed
        self._shape = _patch_shape(studies, patch_pixels)
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
        )

    def example(self, generator: np.random.Generator) -> Example:
        """One patch of a random study and view, mirrored left to right in half of the cases."""
        number = int(generator.integers(len(self._studies)))
        study = self._studies[number]
        view = int(generator.integers(len(study.rapid)))
        _, _, rows, columns = study.overlap(view)
        thinned = generator.random() < self._thinned_share
        shape = study.standard.shape[1:] if thinned else _extent(rows, columns)
        centre = self._centre(number, view, generator)
        if not thinned:  # place within the overlap
            centre = centre[0] - rows.start, centre[1] - columns.start
        top, left = (_start(centre[axis], self._shape[axis], shape[axis]) for axis in (0, 1))
        window = slice(top, top + self._shape[0]), slice(left, left + self._shape[1])
        if thinned:
            k = study.k * float(generator.uniform(1 - COUNT_RATIO_JITTER, 1 + COUNT_RATIO_JITTER))
            standard, masks = study.standard[view][window], study.masks[:, view][:, *window]
            example = _thinned(standard, masks, k, generator)
        else:
            example = _cut(aligned_pair(study, view), window)
        return _mirrored(example) if generator.random() < 0.5 else example

    def _centre(self, study: int, view: int, generator: np.random.Generator) -> tuple[int, int]:
        rows, columns = self._studies[study].standard.shape[1:]
        body = self._body[study][view]
        anywhere = generator.random() >= BODY_SHARE_OF_CENTRES or not len(body)
        pixel = int(generator.integers(rows * columns) if anywhere else body[generator.integers(len(body))])
        return divmod(pixel, columns)


def _thinned(standard: np.ndarray, masks: np.ndarray, k: float, generator: np.random.Generator) -> Example:
    pair = thinned_pair(standard, k, generator)
    return Example(pair.input, pair.k, pair.target, pair.target_share, masks)


def _cut(example: Example, window: tuple[slice, slice]) -> Example:
    return Example(
        input=example.input[window],
        k=example.k,
        target=example.target[window],
        target_share=example.target_share,
        masks=example.masks[:, *window],
    )


def _mirrored(example: Example) -> Example:
    return Example(
        input=example.input[:, ::-1],
        k=example.k,
        target=example.target[:, ::-1],
        target_share=example.target_share,
        masks=example.masks[:, :, ::-1],
    )


def _overlap(length: int, shift: int) -> tuple[slice, slice]:
    first, last = max(0, -shift), min(length, length - shift)
    return slice(first, last), slice(first + shift, last + shift)


def _extent(rows: slice, columns: slice) -> tuple[int, int]:
    return rows.stop - rows.start, columns.stop - columns.start


def _start(centre: int, patch: int, length: int) -> int:
    return int(np.clip(centre - patch // 2, 0, length - patch))


def _body_pixels(body: np.ndarray) -> np.ndarray:
    return np.flatnonzero(body > 127).astype(np.int32)


def _patch_shape(studies: Sequence[Study], patch_pixels: int) -> tuple[int, int]:
    extents = [_extent(*study.overlap(view)[:2]) for study in studies for view in range(len(study.rapid))]
    rows, columns = (min(patch_pixels, *(extent[axis] for extent in extents)) for axis in (0, 1))
    if min(rows, columns) < SMALLEST_PATCH:
        raise ScintiflowError(
            f"the smallest scan leaves patches of {rows} x {columns} pixels",
            where="train_cascade.patch_pixels",
            remedy=f"Train on scans that overlap by at least {SMALLEST_PATCH} pixels",
        )
    return rows, columns
