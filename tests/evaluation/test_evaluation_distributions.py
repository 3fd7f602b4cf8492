"""Distances between sets: against scipy, against definitions written out, against themselves."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import linalg

from scintiflow.evaluation.baselines import Gaussian, Identity
from scintiflow.evaluation.cases import load_case
from scintiflow.evaluation.distributions import (
    Moments,
    cubic_kernel,
    features_of,
    fid,
    frechet,
    kid,
    kid_interval,
    renoised,
    sam_frechet,
    weighted_discrepancy,
    whole_set,
)
from scintiflow.evaluation.perceptual import Perceptual
from scintiflow.evaluation.sam_features import SamEncoder
from scintiflow.evaluation.scoring import score_split
from scintiflow.evaluation.weights import NotAvailable
from scintiflow.params import SamArchitecture
from scintiflow.sam.build import build_sam


@pytest.fixture
def sets():
    generator = np.random.default_rng(1)
    mixing = generator.normal(size=(6, 6))
    return generator.normal(size=(80, 6)) @ mixing, generator.normal(0.5, 1.3, size=(60, 6))


def independent_frechet(a, b):
    root = linalg.sqrtm(np.cov(a.T) @ np.cov(b.T))
    trace = np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root.real)
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + trace


def test_both_frechet_distances_agree_with_scipy(sets):
    a, b = sets
    expected = independent_frechet(a, b)
    assert fid(a.astype(np.float32), b.astype(np.float32)) == pytest.approx(expected, rel=1e-3)
    assert frechet(Moments.of(a), Moments.of(b)) == pytest.approx(expected, rel=1e-9)
    assert frechet(Moments.of(a), Moments.of(a)) == pytest.approx(0, abs=1e-9)
    assert fid(a[:1], b) is None


def test_kid_agrees_with_its_definition(sets):
    a, b = (part[:40] for part in sets)

    def kernel(x, y):
        return (x @ y / len(x) + 1) ** 3

    def among(x):
        return np.mean([kernel(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j])

    expected = among(a) + among(b) - 2 * np.mean([kernel(x, y) for x in a for y in b])
    assert kid(a.astype(np.float32), b.astype(np.float32)) == pytest.approx(expected, rel=1e-3)
    kernels = cubic_kernel(a, a), cubic_kernel(b, b), cubic_kernel(a, b)
    assert weighted_discrepancy(*kernels, np.ones(40)) == pytest.approx(expected, rel=1e-9)


def test_kid_of_equal_distributions_is_zero_on_average_and_its_interval_holds_it(params):
    generator = np.random.default_rng(2)
    patients = [f"p{number // 2}" for number in range(24)]
    values, inside = [], 0
    for _ in range(40):
        a, b = generator.normal(size=(2, 24, 8))
        interval = kid_interval(a, b, patients, params)
        values.append(kid(a, b))
        inside += interval["low"] <= 0 <= interval["high"]
    assert np.mean(values) == pytest.approx(0, abs=4 * np.std(values) / np.sqrt(40))
    assert inside >= 30
    assert kid_interval(a[:2], b[:2], ["p", "p"], params) == {"low": None, "high": None}


def test_moments_add_up(params):
    a = np.random.default_rng(3).normal(size=(30, 4))
    parts = {"x": Moments.of(a[:10]), "y": Moments.of(a[10:])}
    same = sam_frechet(parts, parts, params)
    assert same["value"] == pytest.approx(0, abs=1e-9)
    other = {name: Moments.of(np.random.default_rng(4).normal(1, 1, (15, 4))) for name in parts}
    assert sam_frechet(other, parts, params)["value"] > 1


def test_a_prior_that_found_no_body_leaves_no_number_and_breaks_nothing(cohort, params):
    """As of a SAM that has hardly been trained, on real children, whose regions come from it."""
    case = load_case(cohort.dataset, next(cohort.dataset.rows("test")), cohort.truth, None)
    bodiless = replace(case, body=np.zeros_like(case.body))
    architecture = SamArchitecture(size="small", image_size=64, checkpoint="", checkpoint_sha256="")
    perceptual = Perceptual(NotAvailable("x"), NotAvailable("y"), SamEncoder(build_sam(architecture)[0], 40.0, "r"))
    estimates = {"identity": case.pair.rapid}
    found = features_of(bodiless, estimates, perceptual, params, with_sam=True)
    sam = whole_set(found, {"fid": "y", "kid": "y"}, params)["sam_frechet"]
    assert (sam["available"], sam["patients"], sam["methods"]) == (False, 0, {})
    assert "body" in sam["reason"]
    found.add(features_of(case, estimates, perceptual, params, with_sam=True))
    assert whole_set(found, {}, params)["sam_frechet"]["patients"] == 1


def test_one_token_makes_no_distribution(params):
    single = {"x": Moments.of(np.ones((1, 4)))}
    assert sam_frechet(single, single, params) == {"value": None, "low": None, "high": None}


def test_new_noise_about_the_same_mean(cohort, real_cohort, params):
    for known, tolerance in ((cohort, 0.02), (real_cohort, 0.03)):
        case = load_case(known.dataset, next(known.dataset.rows("test")), known.truth, None)
        twin, other = renoised(case, 1), renoised(case, 2)
        assert np.array_equal(twin, renoised(case, 1))
        assert not np.array_equal(twin, other)
        assert not np.array_equal(twin, case.pair.standard)
        assert twin.sum() == pytest.approx(float(case.pair.standard.sum()), rel=tolerance)


def test_the_sam_encoder_sees_what_a_filter_does_to_a_scan(cohort, params):
    architecture = SamArchitecture(size="small", image_size=64, checkpoint="", checkpoint_sha256="")
    encoder = SamEncoder(build_sam(architecture)[0], 40.0, "random")
    perceptual = Perceptual(NotAvailable("x"), NotAvailable("y"), encoder)
    two = params.model_copy(update={"sam_frechet_patients": 2})
    restorers = {"identity": Identity(), "gaussian": Gaussian(3.0)}
    scores = [
        score_split(
            cohort.dataset, "test", restorers, cohort.truth, None, two, perceptual=perceptual, workers=workers
        )
        for workers in (1, 2)
    ]
    found = scores[0].whole_set["sam_frechet"]
    assert found == scores[1].whole_set["sam_frechet"]
    assert (found["available"], found["patients"], found["views"]) == (True, 2, 4)
    assert 0 < found["floor"] < found["methods"]["gaussian"]["value"]
    assert set(found["methods"]) == {"identity", "gaussian", "truth"}
    assert not scores[0].whole_set["fid"]["available"]
    assert scores[0].whole_set["fid"]["reason"] == "y"
