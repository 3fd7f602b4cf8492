"""Distances between sets of pictures: FID, KID and the Frechet distance over SAM's encoder.

The reference set are the standard scans. Three cautions travel with every number: how many patients and views it
was made of, a **floor**, what the standard scans score against themselves with new Poisson noise, and that all of
them reward noise texture. FID has no interval: with fewer views than features its covariance is rank-deficient.

KID is unbiased, and its interval draws patients. The Frechet distance over SAM takes every token of the body as a
sample, so that its covariance has full rank with a single child; its interval draws patients as well.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from scintiflow.evaluation.cases import Case, bounding_box, case_overlap
from scintiflow.evaluation.columns import SETS, STANDARD, TRUTH
from scintiflow.evaluation.perceptual import Inception, Perceptual
from scintiflow.evaluation.sam_features import SamEncoder
from scintiflow.params import EvaluateParams

RENOISED = "renoised"  # standard scans with new noise: the floor
RENOISING_SIGMA_PIXELS = 1.5  # of the mean that new noise is drawn about, where no truth is known
MARGIN_PIXELS = 8
SAM_INTERVAL_SAMPLES = 200
INTERVAL = (2.5, 97.5)


@dataclass(frozen=True)
class Moments:
    """Number, sum and sum of outer products of feature vectors; they add up."""

    number: float
    total: np.ndarray
    outer: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray) -> "Moments":
        values = np.asarray(vectors, dtype=np.float64)
        return cls(float(len(values)), values.sum(axis=0), values.T @ values)


@dataclass
class FeatureSets:
    """Features of all pictures, by method: Inception's of each view, SAM's moments of each patient."""

    inception: dict[str, list[np.ndarray]] = field(default_factory=dict)
    sam: dict[str, dict[str, Moments]] = field(default_factory=dict)
    patients: list[str] = field(default_factory=list)  # of Inception's views

    def add(self, other: "FeatureSets") -> None:
        for method, features in other.inception.items():
            self.inception.setdefault(method, []).extend(features)
        for method, moments in other.sam.items():
            for patient, these in moments.items():
                mine = self.sam.setdefault(method, {})
                mine[patient] = _summed([mine[patient], these]) if patient in mine else these
        self.patients += other.patients


def features_of(
    case: Case, estimates: dict[str, np.ndarray], perceptual: Perceptual, params: EvaluateParams, with_sam: bool
) -> FeatureSets:
    """Features of one study's pictures: every estimate, the truth, the standard scan and its noisy twin."""
    found = FeatureSets()
    if not case.is_counted:  # the networks would be shown counts
        return found
    wants_sam = with_sam and isinstance(perceptual.sam, SamEncoder) and case.views == 2
    if not wants_sam and not isinstance(perceptual.inception, Inception):
        return found
    twin = renoised(case, params.seed)
    if isinstance(perceptual.inception, Inception):
        pictures: dict[str, list[np.ndarray]] = {}
        for view in range(case.views):
            here, there = case_overlap(case, view)
            box = bounding_box(case.body[view][here], MARGIN_PIXELS)
            shown = {name: estimate[view][here] for name, estimate in estimates.items()}
            if case.expected is not None:
                shown[TRUTH] = case.expected[view][here]
            shown |= {STANDARD: case.pair.standard[view][there], RENOISED: twin[view][there]}
            for name, image in shown.items():
                pictures.setdefault(name, []).append(image[box])
        found.inception = {name: list(perceptual.inception(views)) for name, views in pictures.items()}
        found.patients = [case.row["patient"]] * case.views
    if wants_sam and isinstance(perceptual.sam, SamEncoder):
        crop = perceptual.sam.crop(case.pair.standard, float(case.row["spacing_mm"]))
        volumes = dict(estimates) | {STANDARD: case.pair.standard, RENOISED: twin}
        if case.expected is not None:
            volumes[TRUTH] = case.expected
        moments = {name: Moments.of(perceptual.sam(volume, case.body, crop)) for name, volume in volumes.items()}
        if moments[STANDARD].number:  # a poor prior may leave no token inside the body
            found.sam = {name: {case.row["patient"]: these} for name, these in moments.items()}
    return found


def renoised(case: Case, seed: int) -> np.ndarray:
    """The standard scan with new Poisson noise about its true mean, or about the smoothed scan."""
    if case.truth is not None:
        mean = np.asarray(case.truth.mean_standard, dtype=np.float64)
    else:
        sigma = (0, RENOISING_SIGMA_PIXELS, RENOISING_SIGMA_PIXELS)
        mean = ndimage.gaussian_filter(case.pair.standard.astype(np.float64), sigma)
    scan = int.from_bytes(hashlib.sha256(str(case.row["standard_counts_sha256"]).encode()).digest()[:8], "big")
    return np.random.default_rng(np.random.SeedSequence([seed, scan])).poisson(mean)


def whole_set(sets: FeatureSets, reasons: dict[str, str], params: EvaluateParams) -> dict[str, dict]:
    """`summary.json`'s entry: each metric with its patients, views, floor and every method's value and interval."""
    inception = {name: np.stack(features) for name, features in sets.inception.items()}
    values = {
        "fid": {name: {"value": fid(found, inception[STANDARD])} for name, found in inception.items()},
        "kid": {
            name: {"value": kid(found, inception[STANDARD])}
            | kid_interval(found, inception[STANDARD], sets.patients, params)
            for name, found in inception.items()
        },
        "sam_frechet": {name: sam_frechet(found, sets.sam[STANDARD], params) for name, found in sets.sam.items()},
    }
    counted = {
        "fid": (len(set(sets.patients)), len(sets.patients)),
        "sam_frechet": (len(sets.sam.get(STANDARD, {})), 2 * len(sets.sam.get(STANDARD, {}))),
    }
    counted["kid"] = counted["fid"]
    return {
        name: {
            "available": name not in reasons and bool(values[name]),
            "reason": reasons.get(name, "" if values[name] else "no patient has two views with a body in them"),
            "patients": counted[name][0],
            "views": counted[name][1],
            "floor": values[name].get(RENOISED, {}).get("value"),
            "methods": {
                method: {"low": None, "high": None} | found
                for method, found in values[name].items()
                if method not in (STANDARD, RENOISED)
            },
        }
        for name in SETS
    }


def fid(features: np.ndarray, reference: np.ndarray) -> float | None:
    """Frechet distance of two sets of features `[view, feature]` by torchmetrics; None below two views."""
    if min(len(features), len(reference)) < 2:
        return None
    metric = FrechetInceptionDistance(feature=_AsIs(features.shape[1]))
    return _updated(metric, features, reference)


def kid(features: np.ndarray, reference: np.ndarray) -> float | None:
    """Unbiased squared maximum mean discrepancy (cubic kernel) by torchmetrics, on all views at once."""
    views = min(len(features), len(reference))
    if views < 2:
        return None
    metric = KernelInceptionDistance(feature=_AsIs(features.shape[1]), subsets=1, subset_size=views)
    return _updated(metric, features, reference)


def kid_interval(
    features: np.ndarray, reference: np.ndarray, patients: list[str], params: EvaluateParams
) -> dict[str, float | None]:
    """95% bootstrap interval of `kid` over patients, whose views are drawn together; none below two patients."""
    _, places = np.unique(patients, return_inverse=True)
    number = int(places.max()) + 1 if len(places) else 0
    if number < 2:
        return {"low": None, "high": None}
    within, among, between = (
        cubic_kernel(*pair) for pair in ((features, features), (reference, reference), (features, reference))
    )
    drawn = []
    for chosen in _draws(number, params.bootstrap_samples, params.seed):
        weights = np.bincount(chosen, minlength=number)[places].astype(np.float64)
        drawn.append(weighted_discrepancy(within, among, between, weights))
    low, high = np.percentile(drawn, INTERVAL)
    return {"low": float(low), "high": float(high)}


def cubic_kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a.astype(np.float64) @ b.astype(np.float64).T / a.shape[1] + 1.0) ** 3


def weighted_discrepancy(within: np.ndarray, among: np.ndarray, between: np.ndarray, weights: np.ndarray) -> float:
    """Unbiased squared discrepancy from kernel matrices; a view drawn twice never meets itself."""
    pairs = np.outer(weights, weights)
    apart = pairs - np.diag(np.diag(pairs))
    return float((apart * (within + among)).sum() / apart.sum() - 2.0 * (pairs * between).sum() / pairs.sum())


def sam_frechet(
    found: dict[str, Moments], reference: dict[str, Moments], params: EvaluateParams
) -> dict[str, float | None]:
    """Frechet distance between two sets of tokens, and its bootstrap interval over patients; None below two tokens.

    Drawing a patient twice makes the sets differ more, so the interval is the basic one, which turns that bias
    round; it does not reach below zero.
    """
    patients = sorted(set(found) & set(reference))
    ours, theirs = [found[name] for name in patients], [reference[name] for name in patients]
    if sum(moments.number for moments in ours) < 2:
        return {"value": None, "low": None, "high": None}
    value = frechet(_summed(ours), _summed(theirs))
    if len(patients) < 2:
        return {"value": value, "low": None, "high": None}
    draws = _draws(len(patients), min(params.bootstrap_samples, SAM_INTERVAL_SAMPLES), params.seed)
    drawn = [frechet(_summed([ours[i] for i in draw]), _summed([theirs[i] for i in draw])) for draw in draws]
    high, low = (max(0.0, 2 * value - float(end)) for end in np.percentile(drawn, INTERVAL))
    return {"value": value, "low": low, "high": high}


def frechet(a: Moments, b: Moments) -> float:
    """|mean_a - mean_b|^2 + trace(A + B - 2 (A^1/2 B A^1/2)^1/2) of two normal distributions (Dowson 1982)."""
    means, covariances = zip(*(_mean_and_covariance(moments) for moments in (a, b)), strict=True)
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    overlap = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariances[1] @ root), 0.0)).sum()
    trace = float(np.trace(covariances[0]) + np.trace(covariances[1]) - 2.0 * overlap)
    return float(((means[0] - means[1]) ** 2).sum()) + max(trace, 0.0)


def _mean_and_covariance(moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    mean = moments.total / moments.number
    return mean, (moments.outer - moments.number * np.outer(mean, mean)) / (moments.number - 1.0)


def _summed(parts: list[Moments]) -> Moments:
    return Moments(
        sum(part.number for part in parts),
        np.sum([part.total for part in parts], axis=0),
        np.sum([part.outer for part in parts], axis=0),
    )


def _draws(patients: int, samples: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(np.random.SeedSequence([seed, patients]))
    return generator.integers(0, patients, size=(samples, patients))


class _AsIs(torch.nn.Module):
    """Features that are computed already, in the place of a network."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.num_features = features

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def _updated(metric, features: np.ndarray, reference: np.ndarray) -> float:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # KID shuffles before it takes everything
        metric.update(torch.from_numpy(np.array(reference)), real=True)
        metric.update(torch.from_numpy(np.array(features)), real=False)
        found = metric.compute()
    return float(found[0] if isinstance(found, tuple) else found)
