"""What adaptation learns from: a patient's standard scan, its pseudo-masks, and variations of both."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from scintiflow.dataset.manifest import Dataset, modality_of
from scintiflow.modality import BONE_SCAN, Modality
from scintiflow.phantom.truth import find_truth
from scintiflow.progress import track
from scintiflow.sam import prompts as asking
from scintiflow.sam.canvas import Placement, masks_to_canvas
from scintiflow.sam.prediction import canvas_of
from scintiflow.sam.prompts import Prompts
from scintiflow.sam.subjects import pane_counts, prompts_of, targets_of

LARGEST_INTENSITY_CHANGE = 0.2  # of the natural logarithm: children differ in uptake and injected activity


@dataclass(frozen=True)
class Sample:
    """A standard scan with its targets.

    Attributes:
        counts: uint16 `[view, row, column]`.
        masks: pseudo-masks, bool `[structure, view, row, column]`.
        exact: the masks of a simulated child, alike; None for a real one.
        targets: what adaptation learns from, one of the two.
        count_ratio: k, expected standard / rapid counts.
    """

    study: str
    patient: str
    split: str
    counts_sha256: str
    counts: np.ndarray
    masks: np.ndarray
    exact: np.ndarray | None
    targets: np.ndarray
    prompts: Prompts
    spacing_mm: float
    count_ratio: float
    modality: Modality = BONE_SCAN

    @property
    def shown(self) -> np.ndarray:
        """What masks lie on, `[view, row, column]`: counts, or a picture's brightness."""
        return pane_counts(self.modality, self.counts)

    def mirrored(self) -> "Sample":
        """The sample whose views are flipped left to right."""
        return replace(
            self,
            counts=self.counts[..., ::-1],
            masks=self.masks[..., ::-1],
            exact=None if self.exact is None else self.exact[..., ::-1],
            targets=self.targets[..., ::-1],
            prompts=asking.mirrored(self.prompts, self.counts.shape[2]),
        )


@dataclass(frozen=True)
class Drawn:
    """One variation of a sample on SAM's canvas: image `[3, y, x]`, targets `[structure, view, y, x]` in 0..1."""

    image: Tensor
    target: Tensor
    prompts: Prompts
    placement: Placement
    mirrored: bool = False


def load_samples(
    dataset: Dataset, splits: Iterable[str], truth_root: Path | None = None, exact_targets: bool = False
) -> list[Sample]:
    """The samples of some splits, in the manifest's order.

    With `exact_targets` simulated children, whose truth is found under `truth_root`, teach with their exact
    masks; real children always teach with pseudo-masks.
    """
    rows = [row for split in splits for row in dataset.rows(split)]
    return [_sample(dataset, row, truth_root, exact_targets) for row in track(rows, "pseudo-masks")]


def draw_sample(sample: Sample, image_size: int, mask_side: int, ceiling_counts: float) -> Drawn:
    """The sample as it is."""
    return _drawn(sample, sample.counts, image_size, mask_side, ceiling_counts)


def draw_variation(
    sample: Sample, image_size: int, mask_side: int, ceiling_counts: float, generator: np.random.Generator
) -> Drawn:
    """A random variation: at the rapid scan's noise or the standard's, brighter or darker, mirrored or not.

    Binomial thinning by 1/k turns the standard scan into one with exactly the noise of a rapid scan; k of a picture
    is 1, which leaves it as it is.
    """
    mirrored = generator.random() < 0.5
    if mirrored:
        sample = sample.mirrored()
    counts = sample.counts
    if generator.random() < 0.5:
        counts = generator.binomial(counts, 1 / sample.count_ratio) * np.float32(sample.count_ratio)
    counts = counts * np.float32(np.exp(generator.uniform(-1, 1) * LARGEST_INTENSITY_CHANGE))
    return replace(_drawn(sample, counts, image_size, mask_side, ceiling_counts), mirrored=mirrored)


def _sample(dataset: Dataset, row, truth_root: Path | None, exact_targets: bool) -> Sample:
    standard = dataset.pair(row["study"]).standard
    spacing, modality = float(row["spacing_mm"]), modality_of(row)
    masks = targets_of(modality, standard, spacing)
    truth = None if truth_root is None else find_truth(truth_root, row["standard_counts_sha256"])
    exact = None if truth is None else truth.masks_standard
    return Sample(
        study=row["study"],
        patient=row["patient"],
        split=row["split"],
        counts_sha256=row["standard_counts_sha256"],
        counts=standard,
        masks=masks,
        exact=exact,
        targets=exact if exact is not None and exact_targets else masks,
        prompts=prompts_of(modality, standard, spacing),
        spacing_mm=spacing,
        count_ratio=max(1.0, float(row["count_ratio"])),
        modality=modality,
    )


def _drawn(sample: Sample, counts: np.ndarray, image_size: int, mask_side: int, ceiling_counts: float) -> Drawn:
    image, placement = canvas_of(counts, sample.prompts, image_size, ceiling_counts)
    return Drawn(image, masks_to_canvas(sample.targets, placement, mask_side), sample.prompts, placement)
