"""What SAM answers on held-out patients, against pseudo-masks and, for simulated children, exact masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from segment_anything.modeling import Sam

from scintiflow.params import AdaptSamParams
from scintiflow.progress import track
from scintiflow.sam.overlap import dice, iou
from scintiflow.sam.prediction import predict
from scintiflow.sam.samples import Sample
from scintiflow.structures import STRUCTURES

SCORES = {"dice": dice, "iou": iou}


@dataclass(frozen=True)
class Seen:
    """One network's answers to some samples.

    Attributes:
        scores: score -> target -> `[patient, structure]`, NaN where undefined; targets are `pseudo` and `truth`.
        targets: mean Dice, over what is defined, against what adaptation learns from.
        pictures: bool masks of the first few patients.
    """

    scores: dict[str, dict[str, np.ndarray]]
    targets: float
    pictures: list[np.ndarray]


def look(sam: Sam, samples: Sequence[Sample], params: AdaptSamParams, label: str = "", pictures: int = 0) -> Seen:
    """Ask `sam` for every structure of every sample's standard scan; progress is shown under `label`, if any."""
    kept: list[np.ndarray] = []
    tables: dict[str, dict[str, list]] = {score: {"pseudo": [], "truth": []} for score in SCORES}
    against_targets = []
    for sample in track(samples, label) if label else samples:
        soft, _ = predict(
            sam,
            sample.counts.astype(np.float32),
            sample.spacing_mm,
            params.display_ceiling_counts,
            params.shape_prompts,
            sample.prompts,
        )
        answer = soft > 0.5
        for score, of_target in tables.items():
            of_target["pseudo"].append(_defined(score, answer, sample.masks))
            of_target["truth"].append(_defined(score, answer, sample.exact))
        against_targets.append(_defined("dice", answer, sample.targets))
        if len(kept) < pictures:
            kept.append(answer)
    stacked = {
        score: {target: _table(rows) for target, rows in of_target.items()} for score, of_target in tables.items()
    }
    return Seen(stacked, float(np.nanmean(_column_means(_table(against_targets)))), kept)


def report(before: Seen, after: Seen, samples: Sequence[Sample]) -> dict[str, float]:
    """Means over patients, flat; a structure that no patient shows has no entry.

    `<dice|iou>_<before|after>_<pseudo|truth>_<structure>` over all held-out patients,
    `<validation|test>_<dice|iou>_after_<pseudo|truth>_<structure>` apart, because weights were chosen on
    the former, and `<dice|iou>_pseudo_truth_<structure>`: how good pseudo-masks are.
    """
    splits, names = np.array([sample.split for sample in samples]), samples[0].modality.structures
    numbers: dict[str, float] = {}
    for score in SCORES:
        for target in ("pseudo", "truth"):
            first, last = before.scores[score][target], after.scores[score][target]
            numbers |= _means(f"{score}_before_{target}", first, names) | _means(
                f"{score}_after_{target}", last, names
            )
            for split in ("validation", "test"):
                numbers |= _means(f"{split}_{score}_after_{target}", last[splits == split], names)
        pseudo = _table([_defined(score, sample.masks, sample.exact) for sample in samples])
        numbers |= _means(f"{score}_pseudo_truth", pseudo, names)
    return numbers


def _defined(score: str, answer: np.ndarray, target: np.ndarray | None) -> np.ndarray:
    """Score `[structure]`; NaN where there is no target or an empty one, for overlap says nothing about that."""
    if target is None:
        return np.full(len(STRUCTURES), np.nan)
    return np.where(target.any(axis=(1, 2, 3)), SCORES[score](answer, target), np.nan)


def _table(rows: list[np.ndarray]) -> np.ndarray:
    return np.array(rows, dtype=np.float64).reshape(-1, len(STRUCTURES))


def _means(name: str, table: np.ndarray, structures: tuple[str, ...]) -> dict[str, float]:
    pairs = zip(structures, _column_means(table), strict=True)
    return {f"{name}_{structure}": float(value) for structure, value in pairs if np.isfinite(value)}


def _column_means(table: np.ndarray) -> np.ndarray:
    """Column means `[structure]` that leave out NaN; NaN for a column without a number."""
    number = np.isfinite(table).sum(axis=0)
    return np.where(number > 0, np.nansum(table, axis=0) / np.maximum(number, 1), np.nan)
