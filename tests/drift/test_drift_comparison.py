"""Shifts that matter are found, chance is not taken for one, and a verdict can be looked at."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from watched_scans import cohort_of, watched_scans

from scintiflow.drift.cohort import ranges_cohort
from scintiflow.drift.comparison import compare, holm
from scintiflow.drift.display import PAGE, PICTURE, verdict_lines, write_verdict
from scintiflow.drift.verdict import DRIFT, NO_DRIFT, TOO_FEW, VERDICT
from scintiflow.files import read_json
from scintiflow.params import WatchParams

PARAMS = WatchParams(folder="watch")
TRAINED = cohort_of(watched_scans(137, seed=0))


def by_feature(verdict):
    return {test.feature: test for test in verdict.tests}


def test_twice_the_counts_are_found_and_named():
    verdict = compare(watched_scans(40, seed=1, counts=2.0), TRAINED, PARAMS)
    assert (verdict.verdict, verdict.exit_code) == (DRIFT, 3)
    assert verdict.drifted == ("counts_anterior", "counts_posterior")


@pytest.mark.parametrize("seed", range(5))
def test_twice_the_counts_are_found_with_the_fewest_scans_that_are_judged(seed):
    rows = watched_scans(PARAMS.smallest_scans, seed=100 + seed, counts=2.0)
    assert compare(rows, TRAINED, PARAMS).verdict == DRIFT


@pytest.mark.parametrize(("significance", "smallest_effect"), [(0.1, 0.0), (0.01, 0.3)])
def test_scans_like_those_of_training_raise_no_more_alarms_than_promised(significance, smallest_effect):
    """At most `significance`, for all features together; with the default settings, and without the effect's help."""
    params = WatchParams(folder="watch", significance=significance, smallest_effect=smallest_effect)
    draws = 100
    alarms = 0
    for draw in range(draws):
        new, trained = watched_scans(30, seed=1000 + draw), cohort_of(watched_scans(60, seed=5000 + draw))
        alarms += compare(new, trained, params).verdict == DRIFT
    assert alarms <= stats.binom.ppf(0.999, draws, significance)


def test_other_ages_and_another_scanner_are_found():
    older = compare(watched_scans(60, seed=2, ages=(0.0, 0.05, 0.15, 0.8)), TRAINED, PARAMS)
    assert older.drifted == ("age_band",)
    renewed = [replace(row, scanner="Spectrum Dynamics VERITON") for row in watched_scans(40, seed=3)]
    assert compare(renewed, TRAINED, PARAMS).drifted == ("scanner",)


RANGES = ranges_cohort(
    200,
    {"counts_anterior": (1e4, 6e6), "counts_posterior": (1e4, 6e6), "velocity_mm_s": (4.3, 14.3),
     "spacing_mm": (1.5, 3.2)},
    [0.97, 0.98, 0.98, 0.99, 0.99, 0.99, 1.0, 1.0, 1.0, 1.01, 1.01, 1.02] * 2,
)  # fmt: skip


def test_scans_inside_the_ranges_of_training_are_no_drift_however_alike_they_are():
    """One camera, one speed, one pixel size: nothing that a model trained over ranges does not know."""
    verdict = compare(watched_scans(60, seed=11), RANGES, PARAMS)
    assert verdict.verdict == NO_DRIFT
    found = by_feature(verdict)
    assert {name: found[name].effect for name in RANGES["ranges"]} == dict.fromkeys(RANGES["ranges"], 0.0)
    assert found["consistency_deviance"].effect > 0  # measured, so compared as a distribution
    assert set(verdict.untested) == {"age_band", "scanner"}


@pytest.mark.parametrize(("outside", "expected"), [(2, NO_DRIFT), (12, NO_DRIFT), (24, DRIFT), (60, DRIFT)])
def test_many_scans_outside_a_range_are_drift_and_a_few_are_not(outside, expected):
    rows = watched_scans(60, seed=12)
    rows[:outside] = [replace(row, velocity_mm_s=3.3) for row in rows[:outside]]
    verdict = compare(rows, RANGES, PARAMS)
    found = by_feature(verdict)["velocity_mm_s"]
    assert found.effect == pytest.approx(outside / 60)
    assert found.chance == pytest.approx(stats.binomtest(outside, 60, 0.01, alternative="greater").pvalue)
    assert verdict.verdict == expected
    assert verdict.drifted == (("velocity_mm_s",) if expected == DRIFT else ())


def test_a_verdict_on_ranges_can_be_looked_at(tmp_path):
    verdict = compare([replace(row, spacing_mm=4.8) for row in watched_scans(40, seed=13)], RANGES, PARAMS)
    write_verdict(verdict, "the reference model", PARAMS, tmp_path)
    assert (tmp_path / PICTURE).stat().st_size > 10_000
    assert read_json(tmp_path / VERDICT)["drifted"] == ["spacing_mm"]
    assert "training says nothing of it" in (tmp_path / PAGE).read_text()


def test_a_difference_that_is_certain_but_small_is_no_drift():
    verdict = compare(watched_scans(3000, seed=4, counts=1.15), cohort_of(watched_scans(3000, seed=5)), PARAMS)
    found = by_feature(verdict)["counts_anterior"]
    assert found.corrected < 1e-6
    assert 0.05 < found.effect < PARAMS.smallest_effect
    assert verdict.verdict == NO_DRIFT


def test_few_scans_are_not_judged():
    verdict = compare(watched_scans(PARAMS.smallest_scans - 1, seed=6, counts=5.0), TRAINED, PARAMS)
    assert (verdict.verdict, verdict.exit_code, verdict.tests) == (TOO_FEW, 4, ())
    assert compare([], TRAINED, PARAMS).verdict == TOO_FEW


def test_the_deviance_is_that_of_the_model_in_question():
    other = [replace(row, model_sha256="ee" * 32, consistency_deviance=3.0) for row in watched_scans(40, seed=7)]
    rows = watched_scans(40, seed=8) + other
    assert "consistency_deviance" in compare(rows, TRAINED, PARAMS).drifted
    assert compare(rows, TRAINED, PARAMS, "cd" * 32).verdict == NO_DRIFT
    assert "consistency_deviance" in compare(other, TRAINED, PARAMS, "cd" * 32).untested


def test_holm_rejects_what_its_definition_rejects():
    generator = np.random.default_rng(9)
    for _ in range(50):
        chances = generator.uniform(0, 0.05, 6).tolist()
        corrected = holm(chances)
        for level in (0.01, 0.05, 0.1):
            rejected = set()
            for rank, place in enumerate(np.argsort(chances)):  # step down until the first that holds
                if chances[place] > level / (len(chances) - rank):
                    break
                rejected.add(int(place))
            assert rejected == {place for place, chance in enumerate(corrected) if chance <= level}


def test_the_chance_of_a_small_table_is_the_exact_one():
    rows = [replace(row, scanner="A" if place < 12 else "B") for place, row in enumerate(watched_scans(20, seed=10))]
    trained = TRAINED | {"categories": TRAINED["categories"] | {"scanner": {"A": 10, "B": 30}}}
    found = by_feature(compare(rows, trained, PARAMS))["scanner"]
    assert found.effect == pytest.approx(12 / 20 - 10 / 40)
    # every table with these margins, by its number of A among the new scans
    number = np.arange(0, 21)
    chance = stats.hypergeom(60, 22, 20).pmf(number)
    distance = np.abs(number - 20 * 22 / 60)  # chi-square of a 2 x 2 table rises with it
    assert found.chance == pytest.approx(chance[distance >= abs(12 - 20 * 22 / 60) - 1e-9].sum(), abs=0.004)


def test_a_verdict_is_written_for_people_and_programs(tmp_path):
    verdict = compare(watched_scans(40, seed=1, counts=2.0), TRAINED, PARAMS)
    write_verdict(verdict, "scintiflow version 4", PARAMS, tmp_path)
    kept = read_json(tmp_path / VERDICT)
    assert kept["model"] == "scintiflow version 4"
    assert kept["drifted"] == ["counts_anterior", "counts_posterior"]
    assert (tmp_path / PICTURE).read_bytes()[:4] == b"\x89PNG"
    page = (tmp_path / PAGE).read_text()
    assert "<b>Drift</b> in anterior counts, posterior counts" in page
    assert "://" not in page
    assert "<script" not in page
    lines = list(verdict_lines(verdict, "scintiflow version 4"))
    assert lines[0].startswith("drift: 40 restored scans of 2026-01-03 to 2026-12-03")
    assert sum(line.startswith("  x ") for line in lines) == 2

    assert page.count("data:image/png;base64,") == len(verdict.tests) == 7
    shown = [
        name for name in ("restored scans", "training cohort", "range of training") if f"</i>{name}</span>" in page
    ]
    assert shown == ["restored scans", "training cohort"], "no feature is held against a range here"

    write_verdict(compare([], TRAINED, PARAMS), "scintiflow version 4", PARAMS, tmp_path)
    assert "Not judged." in (tmp_path / PAGE).read_text()
    assert not (tmp_path / PICTURE).exists(), "a picture of another verdict"
