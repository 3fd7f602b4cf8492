"""The gate lets through what passes every rule, and nothing that was not measured."""

import math

import pytest

from scintiflow.params import GateRules
from scintiflow.registry.gate import GateNumbers, decide

RULES = GateRules(
    smallest_test_patients=4,
    psnr_gain_over_identity_db=3.0,
    psnr_gain_over_gaussian_db=0.0,
    largest_count_bias=0.03,
    largest_bone_bias=0.05,
    smallest_lesion_contrast=0.7,
)
GOOD = {
    "test_patients": 5,
    "psnr_gain_over_identity_db": 9.0,
    "psnr_gain_over_gaussian_db": 0.4,
    "count_bias": -0.01,
    "bone_bias": 0.04,
    "patients_with_lesions": 3,
    "lesion_contrast": 0.8,
}


def test_good_numbers_pass_every_rule():
    decision = decide(GateNumbers(**GOOD), RULES)
    assert decision.passed
    assert len(decision.verdicts) == 6
    assert all(verdict.passed for verdict in decision.verdicts)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("test_patients", 3),
        ("psnr_gain_over_identity_db", 2.9),
        ("psnr_gain_over_gaussian_db", -0.01),
        ("count_bias", -0.031),
        ("count_bias", 0.031),
        ("bone_bias", -0.06),
        ("lesion_contrast", 0.69),
        ("patients_with_lesions", 0),
        *[
            (name, missing)
            for name in GOOD
            if name not in ("patients_with_lesions", "test_patients")
            for missing in (None, math.nan)
        ],
        ("bone_bias", math.inf),
    ],
)
def test_one_bad_or_missing_number_blocks(name, value):
    decision = decide(GateNumbers(**(GOOD | {name: value})), RULES)
    assert not decision.passed
    assert sum(not verdict.passed for verdict in decision.verdicts) == 1
    failed = next(verdict for verdict in decision.verdicts if not verdict.passed)
    assert failed.found is None or math.isfinite(failed.found)
