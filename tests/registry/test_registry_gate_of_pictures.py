"""Of pictures the gate asks what exists of them; a table of scans gets no such mercy."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from patient_tables import changed, good_table

from scintiflow.params import load_params
from scintiflow.registry.card import NOT_OF_PICTURES, Lineage, model_card
from scintiflow.registry.gate import NOT_ASKED, decide
from scintiflow.registry.verdict import Champion, Decision

RULES = load_params(Path(__file__).parents[2] / "params.yaml").register_.gate
RULES = RULES.model_copy(update={"bootstrap_samples": 1000})
CHAMPION = Champion("scintiflow-endoscopy", "1", "b" * 64)
UNKNOWN = (
    "psnr_truth", "ssim_truth", "deviance_standard", "bone_bias", "lesions", "lesion_contrast", "lesions_missed",
    "false_hot_spots", "consistency_z",
)  # fmt: skip


def pictures() -> pd.DataFrame:
    table = good_table()
    table["psnr_standard"], table["ssim_standard"] = table["psnr_truth"], table["ssim_truth"]
    table = table[table["view"] == "anterior"].assign(view="picture", reference="standard", regions_from="frame")
    table[list(UNKNOWN)] = np.nan
    return table


def decided(table: pd.DataFrame) -> Decision:
    return decide(table, "a" * 64, CHAMPION, CHAMPION, RULES)


def test_a_better_model_of_pictures_passes_and_the_decision_says_what_was_not_asked():
    decision = decided(pictures())
    assert decision.passed, [verdict.sentence for verdict in decision.failed]
    assert NOT_ASKED in decision.sentence
    assert not any(word in verdict.rule for verdict in decision.verdicts for word in ("esion", "bone", "eviance"))


@pytest.mark.parametrize(
    ("column", "change", "rule"),
    [
        ("psnr_standard", lambda values: values - 13, "PSNR gain over the poor picture"),
        ("psnr_standard", lambda values: values - 1.2, "PSNR: better than the champion"),
        ("count_bias", lambda values: values + 0.04, "Bias of the mean level"),
        ("psnr_standard", lambda values: values * np.nan, "PSNR gain over the poor picture"),
    ],
)
def test_what_pictures_have_is_asked_in_full(column, change, rule):
    decision = decided(changed(pictures(), column, change))
    assert rule in [verdict.rule for verdict in decision.failed]


def test_a_table_of_scans_among_which_is_one_picture_is_asked_everything():
    table = pictures()
    table.loc[table["patient"] == "P00", "regions_from"] = "prior"
    failed = [verdict.rule for verdict in decided(table).failed]
    assert "Missed lesions" in failed
    assert "Bias of bone counts" in failed


def test_the_card_of_a_model_of_pictures_claims_no_bone_scan():
    table = pictures()
    summary = {"methods": {"restored": {}}}
    card = model_card(summary, table, {"modality": "picture"}, decided(table), Lineage(()))
    assert NOT_OF_PICTURES[0] in card
    assert "MDP" not in card
    assert "MDP" in model_card(summary, table, {}, decided(table), Lineage(()))
