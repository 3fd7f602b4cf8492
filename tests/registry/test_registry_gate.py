"""The gate lets through what passes every rule; what is worse anywhere, or was not measured, it refuses."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from patient_tables import changed, good_table

from scintiflow.params import load_params
from scintiflow.registry.decision_page import render_decision
from scintiflow.registry.gate import decide
from scintiflow.registry.verdict import Champion, Decision

RULES = load_params(Path(__file__).parents[2] / "params.yaml").register_.gate
RULES = RULES.model_copy(update={"bootstrap_samples": 1000})  # enough for margins this wide
NEW, OLD = "a" * 64, "b" * 64
CHAMPION = Champion("scintiflow", "3", OLD)


def against_champion(table, new: str = NEW, rescored=CHAMPION, champion=CHAMPION, rules=RULES) -> Decision:
    return decide(table, new, rescored, champion, rules)


def failed_rules(decision: Decision) -> list[str]:
    return [verdict.rule for verdict in decision.failed]


def test_a_better_model_passes_every_rule():
    decision = against_champion(good_table())
    assert failed_rules(decision) == []
    assert decision.passed
    assert "version 3" in decision.sentence
    for column in ("psnr", "ssim"):
        assert any(column.upper() in verdict.rule and "better" in verdict.rule for verdict in decision.verdicts)


def test_the_first_model_is_asked_the_absolute_rules_only_and_the_decision_says_so():
    table = good_table()
    decision = decide(table[table["method"] != "champion"], NEW, None, None, RULES)
    assert decision.passed
    assert {verdict.group for verdict in decision.verdicts} == {"any model"}
    assert "no champion yet" in decision.sentence


ABSOLUTE = {
    "psnr_truth": ("PSNR gain over the rapid scan", lambda values: values - 12),
    "count_bias": ("Bias of whole-body counts", lambda values: values + 0.04),
    "bone_bias": ("Bias of bone counts", lambda values: values - 0.06),
    "lesion_contrast": ("Recovered lesion contrast", lambda values: values - 0.3),
    "lesions_missed": ("Missed lesions", lambda values: values + 1),
    "false_hot_spots": ("Invented lesions per view", lambda values: values + 1),
    "consistency_deviance": ("Poisson deviance of the measured counts", lambda values: values + 0.1),
    "unsupported_share": ("Body that the measured counts do not support", lambda values: values + 0.001),
}


@pytest.mark.parametrize("column", ABSOLUTE)
def test_a_first_model_that_breaks_one_absolute_rule_is_refused(column):
    rule, change = ABSOLUTE[column]
    decision = decide(changed(good_table(), column, change), NEW, None, None, RULES)
    assert rule in failed_rules(decision)


def test_a_copy_of_the_noise_is_no_restoration():
    table = changed(good_table(), "consistency_deviance", lambda values: values - 0.3)
    assert failed_rules(decide(table, NEW, None, None, RULES)) == ["Poisson deviance of the measured counts"]


def test_exaggerated_lesions_are_no_recovered_lesions():
    table = changed(good_table(), "lesion_contrast", lambda values: values + 0.5)
    assert failed_rules(decide(table, NEW, None, None, RULES)) == ["Recovered lesion contrast"]


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
@pytest.mark.parametrize(
    "column", ["psnr_truth", "ssim_truth", "count_bias", "bone_bias", "lesion_contrast", "lesions_missed",
               "false_hot_spots", "deviance_standard", "lesions", "consistency_deviance", "unsupported_share"],
)  # fmt: skip
def test_one_number_that_is_not_finite_blocks(column, bad):
    table = changed(good_table(), column, lambda values: bad, patient="P05", view="anterior")
    decision = against_champion(table)
    assert not decision.passed
    assert any("not measured" in verdict.note for verdict in decision.failed)


@pytest.mark.parametrize(
    "column", ["psnr_truth", "ssim_truth", "count_bias", "bone_bias", "lesion_contrast", "lesions_missed",
               "false_hot_spots", "deviance_standard", "lesions", "consistency_deviance",
               "unsupported_share", "age_band", "view", "scanner", "reference"],
)  # fmt: skip
def test_a_missing_column_blocks(column):
    decision = against_champion(good_table().drop(columns=column))
    assert not decision.passed


def test_too_few_patients_block():
    decision = against_champion(good_table(patients=11))
    assert failed_rules(decision) == ["Held-out patients"]
    alone = against_champion(good_table(patients=1))
    assert "PSNR: better than the champion" in failed_rules(alone)
    assert "Missed lesions: no worse than the champion" in failed_rules(alone)
    said = [f"{verdict.note} {verdict.shown}" for verdict in alone.verdicts]
    assert any("1 patient" in text for text in said)
    assert not [text for text in said if re.search(r"\b1 (patients|scans)\b", text)]


def test_too_few_patients_with_lesions_block():
    table = good_table()
    few = table["patient"].isin(["P00", "P01"])
    table.loc[~few, ["lesions", "lesions_missed"]] = 0.0
    table.loc[~few, "lesion_contrast"] = np.nan
    assert failed_rules(against_champion(table)) == ["Held-out patients with known lesions"]


def test_an_identical_model_is_not_promoted():
    same_weights = against_champion(good_table(), new=OLD)
    assert failed_rules(same_weights) == ["Another model than the champion"]

    table = good_table()
    twin = table[table["method"] == "champion"].assign(method="restored")
    same_pictures = against_champion(_with_restored(table, twin))
    assert {"Another model than the champion", "PSNR: better than the champion"} <= set(failed_rules(same_pictures))


def test_a_slightly_worse_model_and_a_lucky_one_are_not_better():
    worse = changed(good_table(), "psnr_truth", lambda values: values - 1.1)
    assert "PSNR: better than the champion" in failed_rules(against_champion(worse))
    # one child gains 12 dB, the others lose 0.1 dB each: the mean rises, most children do not gain
    lucky = changed(good_table(), "psnr_truth", lambda values: values - 1.1)
    lucky = changed(lucky, "psnr_truth", lambda values: values + 12, patient="P03")
    assert "PSNR: better than the champion" in failed_rules(against_champion(lucky))


@pytest.mark.parametrize(
    ("column", "change", "rule"),
    [
        ("lesions_missed", 1.0, "Missed lesions: no worse than the champion"),
        ("false_hot_spots", 0.45, "Invented lesions: no worse than the champion"),
        ("lesion_contrast", -0.12, "Error of lesion contrast: no worse than the champion"),
        ("bone_bias", 0.04, "Bias of bone counts: no worse than the champion"),
        ("count_bias", 0.02, "Bias of body counts: no worse than the champion"),
        ("deviance_standard", 0.1, "Poisson deviance of the standard scan: no worse than the champion"),
    ],
)
def test_what_is_lost_on_lesions_or_counts_is_not_paid_with_decibels(column, change, rule):
    table = changed(good_table(), column, lambda values: values + change)
    decision = against_champion(table)
    assert rule in failed_rules(decision)
    assert not any("better than the champion" in name for name in failed_rules(decision))


@pytest.mark.parametrize(
    ("where", "words"),
    [({"scanner": "camera 2"}, "Scanner camera 2"), ({"view": "posterior"}, "View posterior"),
     ({"age_band": "6 to 11 years"}, "Ages 6 to 11 years")],
)  # fmt: skip
def test_a_group_that_loses_more_than_its_margin_blocks(where, words):
    table = changed(good_table(), "psnr_truth", lambda values: values + 2.0)
    table = changed(table, "psnr_truth", lambda values: values - 3.5, **where)
    failed = failed_rules(against_champion(table))
    assert f"{words}: PSNR" in failed
    assert not any(rule.startswith(("Scanner", "View", "Ages")) and not rule.startswith(words) for rule in failed)


def test_a_group_without_a_name_is_a_group():
    table = good_table()
    table.loc[table["patient"] == "P04", "scanner"] = None
    table = changed(table, "psnr_truth", lambda values: values - 1.9, patient="P04")
    assert "Scanner unknown: PSNR" in failed_rules(against_champion(table))


def test_one_ruined_child_blocks_though_the_mean_is_fine():
    table = changed(good_table(), "psnr_truth", lambda values: values - 2.5, patient="P07")
    assert "PSNR: the patient who loses most" in failed_rules(against_champion(table))


@pytest.mark.parametrize("rows", ["view", "patient", "all"])
def test_the_champion_must_have_been_scored_on_the_same_scans(rows):
    table = good_table()
    lost = table["method"] == "champion"
    if rows != "all":
        lost &= table[rows] == {"view": "anterior", "patient": "P02"}[rows]
    assert "The same patients" in failed_rules(against_champion(table[~lost]))


def test_a_champion_that_changed_meanwhile_blocks():
    other = Champion("scintiflow", "4", "c" * 64)
    for rescored, champion in ((CHAMPION, other), (None, CHAMPION), (CHAMPION, None)):
        decision = against_champion(good_table(), rescored=rescored, champion=champion)
        assert "The champion that was rescored" in failed_rules(decision)


def test_a_rule_without_a_number_names_the_champion_that_it_found():
    found = {verdict.rule: verdict for verdict in against_champion(good_table()).verdicts}
    words = found["The champion that was rescored"].found_in_words
    assert words == f"version {CHAMPION.version} ({CHAMPION.checkpoint_sha256[:8]})"


def test_real_children_are_judged_against_their_standard_scan():
    table = good_table()
    real = table["patient"].isin(["P00", "P01", "P02"])
    gain = table["method"].map({"restored": 0.2, "champion": 0.1, "gaussian": 0.05, "identity": -3.5})
    table.loc[real, "reference"] = "standard"
    table.loc[real, "psnr_standard"] = 21 + gain
    table.loc[real, "ssim_standard"] = 0.4 + gain / 100
    table.loc[real, ["psnr_truth", "ssim_truth", "lesion_contrast"]] = np.nan
    assert failed_rules(against_champion(table)) == []
    table.loc[real & (table["method"] == "restored"), "psnr_standard"] -= 2.5
    assert "PSNR: the patient who loses most" in failed_rules(against_champion(table))


def test_two_rows_for_the_same_scan_are_refused():
    table = good_table()
    with pytest.raises(ValueError, match="two rows"):
        against_champion(_with_restored(table, table[table["method"] == "restored"].iloc[[0, 0, 1]]))


def test_the_page_says_every_rule_and_asks_nothing_of_a_network(tmp_path):
    decision = against_champion(changed(good_table(), "lesions_missed", lambda values: values + 1.0))
    render_decision(decision, "Gate: a <new> version", [("champion", "version 3")], tmp_path / "decision.html")
    page = (tmp_path / "decision.html").read_text()
    for verdict in decision.verdicts:
        assert verdict.rule.replace("&", "&amp;") in page
    assert "Refused." in page
    assert "&lt;new&gt;" in page
    assert "http" not in page.replace('http-equiv="', "")


def _with_restored(table, rows):
    import pandas as pd

    return pd.concat([table[table["method"] != "restored"], rows], ignore_index=True)
