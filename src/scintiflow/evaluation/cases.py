"""One test child with everything that is known of it: scans, regions, truth where there is one.

All scoring happens in the frame of the rapid scan. The standard scan is brought there by whole pixels:
resampling would correlate its noise and spoil every noise-corrected number.

The region "body" is what a physician reads: the body without the injection site and a margin around it.
A single pixel there may hold more counts than a limb and would drown every other error.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from skimage.filters import threshold_otsu

from scintiflow.dataset.manifest import Dataset, modality_of, shift_pixels
from scintiflow.dataset.priors import load_prior
from scintiflow.dataset.study import Pair
from scintiflow.phantom.truth import Truth, find_truth
from scintiflow.structures import BLADDER, BODY, BONE, INJECTION_SITE, KIDNEYS

Rectangle = tuple[slice, slice]
INJECTION_MARGIN_MM = 12.0  # the camera's blur carries the injection site's counts about that far
BODY_SMOOTHING_PIXELS = 4.0
FRAME = "frame"  # where a picture's regions come from
PARTS = ("bone", "kidneys", "bladder", "soft_tissue")  # of the body, in the order of tables


@dataclass(frozen=True)
class Case:
    """One study. Arrays `[view, row, column]` in the rapid scan's frame.

    Attributes:
        row: the study's row of the manifest.
        ratio: k, expected standard / rapid counts.
        body, bone: boolean regions; `bone` is empty where neither truth nor prior knows it.
        parts: boolean regions by the names of `PARTS`, empty where unknown; only bone may overlap organs.
        regions_from: 'truth', 'prior' or 'threshold'; of a picture 'frame': all of it is the body, without parts.
        expected: what a perfect restoration returns: the rapid pose's true mean times k; None for a real child.
    """

    row: pd.Series
    pair: Pair
    ratio: float
    body: np.ndarray
    bone: np.ndarray
    regions_from: str
    truth: Truth | None
    expected: np.ndarray | None
    parts: dict[str, np.ndarray]

    @property
    def is_counted(self) -> bool:
        """See `Modality.is_counted`."""
        return modality_of(self.row).is_counted

    @property
    def views(self) -> int:
        return self.pair.rapid.shape[0]


def load_case(dataset: Dataset, row: pd.Series, truth_root: Path | None, priors: Path | None) -> Case:
    """Read one study. Regions come from the truth, else from the rapid scan's prior, else from a threshold."""
    pair = dataset.pair(row["study"])
    if not modality_of(row).is_counted:
        frame, none = (np.full(pair.rapid.shape, inside) for inside in (True, False))
        parts = dict.fromkeys(PARTS, none)
        return Case(row, pair, float(row["count_ratio"]), frame, none, FRAME, None, None, parts)
    truth = find_truth(truth_root, row["standard_counts_sha256"]) if truth_root is not None else None
    ratio = float(row["count_ratio"])
    if truth is not None:
        (body, parts), origin = body_and_parts(truth.masks_rapid, float(row["spacing_mm"])), "truth"
    elif priors is not None and (priors / f"{row['study']}.npz").is_file():
        masks = load_prior(priors, row["study"]).masks_rapid >= 128
        (body, parts), origin = body_and_parts(masks, float(row["spacing_mm"])), "prior"
    else:
        body, origin = body_by_threshold(pair.rapid), "threshold"
        parts = {name: np.zeros_like(body) for name in PARTS}
    expected = None if truth is None else truth.mean_rapid.astype(np.float64) * ratio
    return Case(row, pair, ratio, body, parts["bone"], origin, truth, expected, parts)


def regions(masks: np.ndarray, spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Body and bone `[view, row, column]` without the injection site, from `[structure, view, row, column]`."""
    body, parts = body_and_parts(masks, spacing_mm)
    return body, parts["bone"]


def body_and_parts(masks: np.ndarray, spacing_mm: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Body and its `PARTS` `[view, row, column]` without the injection site; soft tissue is what is left over."""
    site = masks[INJECTION_SITE].astype(bool)
    if site.any():
        distance = np.stack([ndimage.distance_transform_edt(~view) for view in site]) * spacing_mm
        near = np.where(site.any(axis=(1, 2), keepdims=True), distance <= INJECTION_MARGIN_MM, False)
    else:
        near = site
    body = masks[BODY].astype(bool) & ~near
    parts = {
        name: masks[place].astype(bool) & ~near
        for name, place in (("bone", BONE), ("kidneys", KIDNEYS), ("bladder", BLADDER))
    }
    return body, parts | {"soft_tissue": body & ~np.logical_or.reduce(list(parts.values()))}


def body_by_threshold(counts: np.ndarray) -> np.ndarray:
    """Boolean body `[view, row, column]` of a scan: Otsu on smoothed square-root counts, holes filled."""
    return np.stack([_body_of_view(view) for view in counts])


def overlap(shape: tuple[int, int], shift: tuple[int, int]) -> tuple[Rectangle, Rectangle]:
    """Rectangles of the rapid and of the standard view that show the same content.

    `shift` is (rows, columns) as `dataset.manifest.shift_pixels` gives it: standard(r + rows, c + columns)
    shows rapid(r, c).
    """
    rapid, standard = [], []
    for length, step in zip(shape, shift, strict=True):
        if abs(step) >= length:
            raise ValueError(f"a shift of {step} pixels leaves nothing of {length}")
        first, last = max(0, -step), length - max(0, step)
        rapid.append(slice(first, last))
        standard.append(slice(first + step, last + step))
    return (rapid[0], rapid[1]), (standard[0], standard[1])


def case_overlap(case: Case, view: int) -> tuple[Rectangle, Rectangle]:
    return overlap(case.pair.rapid.shape[1:], shift_pixels(case.row, view))


def bounding_box(inside: np.ndarray, margin: int) -> Rectangle:
    """The rectangle around a mask `[row, column]`, widened by `margin` pixels; the whole frame if it is empty."""
    if not inside.any():
        return slice(0, inside.shape[0]), slice(0, inside.shape[1])
    edges = []
    for axis in (1, 0):
        used = np.flatnonzero(inside.any(axis=axis))
        length = inside.shape[1 - axis]
        edges.append(slice(max(0, int(used[0]) - margin), min(length, int(used[-1]) + 1 + margin)))
    return edges[0], edges[1]


def _body_of_view(counts: np.ndarray) -> np.ndarray:
    smooth = np.sqrt(ndimage.gaussian_filter(counts.astype(np.float64), BODY_SMOOTHING_PIXELS))
    # hot organs would pull Otsu's threshold above soft tissue
    smooth = np.minimum(smooth, np.quantile(smooth, 0.95))
    if smooth.max() <= smooth.min():
        return np.ones(counts.shape, dtype=bool)
    return ndimage.binary_fill_holes(smooth > threshold_otsu(smooth))
