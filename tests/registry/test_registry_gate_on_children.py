"""The gate on tables that come from really restoring simulated children with restorers of known vices."""

from pathlib import Path

import pandas as pd
import pytest
from bad_restorers import (
    SeesMoreCounts,
    as_models,
    invents_lesions,
    plants_lesions,
    simulate_test_children,
    smooths_lesions_away,
)

from scintiflow.evaluation.baselines import Gaussian, Identity
from scintiflow.evaluation.scoring import score_dataset
from scintiflow.params import load_params
from scintiflow.registry.gate import decide
from scintiflow.registry.verdict import Champion, Decision

ROOT = Path(__file__).parents[2]
PARAMS = load_params(ROOT / "params.yaml", ROOT / "profiles" / "laptop.yaml")
CHAMPION = Champion("scintiflow", "1", "b" * 64)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> pd.DataFrame:
    """Six children from 1 to 7 years, every restorer on each of them."""
    dataset, truth = simulate_test_children(tmp_path_factory.mktemp("children"), 6, seed=5)
    restorers = {
        "identity": Identity(),
        "gaussian": Gaussian(1.8),
        "noisy": Gaussian(0.7),
        "fair": Gaussian(1.2),
        "wide": Gaussian(2.1),
        "smoother": smooths_lesions_away,
        "inventor": invents_lesions,
        "planter": plants_lesions,
        "honest": SeesMoreCounts(truth, dataset, Gaussian(1.2)),
    }
    return score_dataset(dataset, "test", restorers, truth, None, PARAMS.evaluate, workers=2)


def judge(table: pd.DataFrame, challenger: str, champion: str, **rules) -> Decision:
    rules = {"bootstrap_samples": 1000} | rules
    gate = PARAMS.register_.gate.model_copy(update=rules)
    return decide(as_models(table, challenger, champion), "a" * 64, CHAMPION, CHAMPION, gate)


def verdicts(decision: Decision, words: str) -> list[bool]:
    found = [verdict.passed for verdict in decision.verdicts if words in verdict.rule]
    assert found
    return found


def test_who_wins_psnr_by_smoothing_lesions_away_is_refused(table):
    means = table.groupby("method")["psnr_truth"].mean()
    assert means["smoother"] > means["noisy"] + 1.0
    decision = judge(table, "smoother", "noisy")
    assert all(verdicts(decision, "better than the champion"))  # the picture is better, by both image metrics
    assert not decision.passed
    failed = {verdict.rule for verdict in decision.failed}
    assert "Missed lesions: no worse than the champion" in failed
    assert "Error of lesion contrast: no worse than the champion" in failed
    assert "Missed lesions" in failed  # and no first model either


def test_who_invents_lesions_is_refused(table):
    means = table.groupby("method")[["psnr_truth", "lesion_contrast"]].mean()
    assert (means.loc["inventor"] > means.loc["wide"]).all()
    decision = judge(table, "inventor", "wide")
    assert all(verdicts(decision, "PSNR: better than the champion"))
    assert not decision.passed
    failed = {verdict.rule for verdict in decision.failed}
    assert "Invented lesions: no worse than the champion" in failed
    assert "Invented lesions per view" in failed


COUNTS = ("Poisson deviance of the measured counts", "Body that the measured counts do not support")


@pytest.mark.parametrize(
    ("restorer", "broken"),
    [
        ("truth", set()), ("fair", set()), ("honest", set()), ("identity", {COUNTS[0]}), ("noisy", {COUNTS[0]}),
        ("smoother", {COUNTS[1]}), ("wide", {COUNTS[1]}), ("planter", {COUNTS[1]}),
    ],
)  # fmt: skip
def test_the_measured_counts_alone_tell_who_smooths_invents_or_copies(table, restorer, broken):
    """No truth enters these two rules; the truth itself passes them."""
    failed = {verdict.rule for verdict in judge(table, restorer, "fair").failed}
    assert failed & set(COUNTS) == broken


def test_the_same_restorer_twice_is_not_promoted(table):
    decision = judge(table, "fair", "fair")
    assert not decision.passed
    assert "Another model than the champion" in {verdict.rule for verdict in decision.failed}


def test_honest_progress_is_promoted(table):
    """Four times the counts through the same filter: six children suffice if contrast may scatter a little more."""
    margins = PARAMS.register_.gate.non_inferiority | {"lesion_contrast": 0.1}
    decision = judge(table, "honest", "fair", non_inferiority=margins)
    assert [verdict.sentence for verdict in decision.failed] == []


def test_on_six_children_the_recipes_own_margin_for_lesions_is_not_proven(table):
    """What cannot be shown on so few is not let through, though the mean loss lies inside the margin."""
    decision = judge(table, "honest", "fair")
    (failed,) = decision.failed
    assert failed.rule == "Error of lesion contrast: no worse than the champion"
    assert failed.found < PARAMS.register_.gate.non_inferiority["lesion_contrast"]
