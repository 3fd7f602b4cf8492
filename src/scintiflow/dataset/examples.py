"""One training example: an input, a target that is independent of it, and masks in the place of the input.

An example is either

- a real pair: input R, target S, laid over each other by the manifest's shift rounded to WHOLE pixels,
  that is, cut out at shifted places; counts are never resampled, since that would correlate their noise;
- a thinned pair (see `thinning`): input A, target S - A, both from the standard scan.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scintiflow.dataset.augmentation import binned, binned_masks, kept_share
from scintiflow.dataset.opposite import mirror_sum, opposite_window
from scintiflow.dataset.thinning import thinned_pair
from scintiflow.modality import BONE_SCAN, Modality

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Study:
    """One child's pair with the masks that train.

    Attributes:
        rapid, standard: uint16 counts `[view, row, column]`.
        masks: uint8 soft masks in the frame of the standard scan `[structure, view, row, column]`, 255 = certain.
        k: expected standard / rapid count ratio.
        shifts: for each view (rows, columns) in whole pixels; standard(r + rows, c + columns)
            shows what rapid(r, c) shows.
        modality: pixels that are no counts (see `Modality.is_counted`) must not be thinned.
    """

    rapid: np.ndarray
    standard: np.ndarray
    masks: np.ndarray
    k: float
    shifts: tuple[tuple[int, int], ...]
    modality: Modality = BONE_SCAN

    def overlap(self, view: int) -> tuple[slice, slice, slice, slice]:
        """Rows and columns of the rapid scan, then of the standard scan, where both were measured."""
        (row_shift, column_shift), (rows, columns) = self.shifts[view], self.rapid.shape[1:]
        rapid_rows, standard_rows = overlapping(rows, row_shift)
        rapid_columns, standard_columns = overlapping(columns, column_shift)
        return rapid_rows, rapid_columns, standard_rows, standard_columns

    @cached_property
    def rapid_mirror(self) -> int:
        """See `opposite.mirror_sum`."""
        return mirror_sum(self.rapid)

    @cached_property
    def standard_mirror(self) -> int:
        """See `opposite.mirror_sum`."""
        return mirror_sum(self.standard)


@dataclass(frozen=True)
class Example:
    """One patch `[row, column]`; E[target] = target_share x E[standard], E[standard] = k E[input].

    `masks` are uint8 `[structure, row, column]` in the place of the input; `opposite` is what the opposite view
    shows there, as poor in counts as the input (`[2, row, column]`, see `opposite`), None if not asked for.
    """

    input: np.ndarray
    k: float
    target: np.ndarray
    target_share: float
    masks: np.ndarray
    opposite: np.ndarray | None = None


@dataclass(frozen=True)
class Thinning:
    """How a window of a standard scan becomes an example: `k` times poorer in counts than what is left
    of it after `count_share` of its counts were kept and, if `binning`, its pixels were added up 2 x 2."""

    k: float
    count_share: float = 1.0
    binning: bool = False


def aligned_pair(study: Study, view: int, views: int = 1) -> Example:
    """A whole view as a real pair, cut to where both scans were measured; `views` 2 adds the opposite view."""
    rapid_rows, rapid_columns, rows, columns = study.overlap(view)
    opposite = None
    if views == 2:
        opposite = opposite_window(study.rapid, view, study.rapid_mirror, rapid_rows, rapid_columns)
    return Example(
        input=study.rapid[view, rapid_rows, rapid_columns],
        k=study.k,
        target=study.standard[view, rows, columns],
        target_share=1.0,
        masks=study.masks[:, view, rows, columns],
        opposite=opposite,
    )


def thinned_view(study: Study, view: int, k: float, generator: np.random.Generator, views: int = 1) -> Example:
    """A whole view of the standard scan as a thinned pair; the input is k times poorer."""
    rows, columns = study.standard.shape[1:]
    return thinned_window(study, view, (slice(0, rows), slice(0, columns)), Thinning(k), generator, views)


def thinned_window(
    study: Study, view: int, window: Window, thinning: Thinning, generator: np.random.Generator, views: int = 1
) -> Example:
    """A window of the standard scan as a thinned pair; `views` 2 adds the opposite view, thinned by itself."""

    def prepared(counts: np.ndarray) -> np.ndarray:
        return kept_share(binned(counts) if thinning.binning else counts, thinning.count_share, generator)

    masks = study.masks[:, view][:, *window]
    pair = thinned_pair(prepared(study.standard[view][window]), thinning.k, generator)
    opposite = None
    if views == 2:
        counts, seen = opposite_window(study.standard, view, study.standard_mirror, *window)
        there = thinned_pair(prepared(counts), thinning.k, generator).input
        opposite = np.stack([there, (binned(seen) == 4 if thinning.binning else seen).astype(there.dtype)])
    shown = binned_masks(masks) if thinning.binning else masks
    return Example(pair.input, pair.k, pair.target, pair.target_share, shown, opposite)


def cut(example: Example, window: Window) -> Example:
    """The same inside a window of the example."""
    return Example(
        input=example.input[window],
        k=example.k,
        target=example.target[window],
        target_share=example.target_share,
        masks=example.masks[:, *window],
        opposite=None if example.opposite is None else example.opposite[:, *window],
    )


def left_to_right(example: Example) -> Example:
    """The same child, seen in a mirror."""
    return Example(
        input=example.input[:, ::-1],
        k=example.k,
        target=example.target[:, ::-1],
        target_share=example.target_share,
        masks=example.masks[:, :, ::-1],
        opposite=None if example.opposite is None else example.opposite[:, :, ::-1],
    )


def overlapping(length: int, shift: int) -> tuple[slice, slice]:
    """Of two rows of pixels, the second holding at i + shift what the first holds at i: what both hold."""
    first, last = max(0, -shift), min(length, length - shift)
    return slice(first, last), slice(first + shift, last + shift)
