"""The gate: may this model become champion? Every rule has a number, a margin and a verdict.

A number that is missing or not finite fails its rule: what was not measured cannot be let through.
"""

import math
from dataclasses import asdict, dataclass

from scintiflow.params import GateRules


@dataclass(frozen=True)
class GateNumbers:
    """What was measured on the held-out patients; None where it could not be measured.

    Gains are mean paired differences in dB of body PSNR, restored minus baseline. Biases are relative.
    `lesion_contrast` is the mean recovered share of the true contrast over the patients with known lesions.
    """

    test_patients: int
    psnr_gain_over_identity_db: float | None
    psnr_gain_over_gaussian_db: float | None
    count_bias: float | None
    bone_bias: float | None
    patients_with_lesions: int
    lesion_contrast: float | None

    @classmethod
    def from_summary(cls, gate: dict) -> "GateNumbers":
        """From the `gate` entry of an evaluation's summary.json, see `evaluation.summary.gate_numbers`."""

        def mean(name: str) -> float | None:
            return gate[name]["mean"] if name in gate else None

        return cls(
            test_patients=gate["patients"],
            psnr_gain_over_identity_db=mean("psnr_gain_over_identity_db"),
            psnr_gain_over_gaussian_db=mean("psnr_gain_over_gaussian_db"),
            count_bias=mean("count_bias"),
            bone_bias=mean("bone_bias"),
            patients_with_lesions=gate["lesion_contrast"]["patients"],
            lesion_contrast=mean("lesion_contrast"),
        )


@dataclass(frozen=True)
class Verdict:
    """One rule: what was asked, what was found, whether it passed."""

    rule: str
    asked: str
    found: float | None
    passed: bool
    note: str = ""


@dataclass(frozen=True)
class Decision:
    """All verdicts; the model passes only if every rule does."""

    passed: bool
    verdicts: tuple[Verdict, ...]

    def as_dict(self) -> dict:
        return asdict(self)


def decide(numbers: GateNumbers, rules: GateRules) -> Decision:
    """Hold the numbers against the rules."""
    verdicts = [
        _at_least("Held-out patients", numbers.test_patients, rules.smallest_test_patients, ""),
        _at_least(
            "PSNR gain over the rapid scan",
            numbers.psnr_gain_over_identity_db,
            rules.psnr_gain_over_identity_db,
            " dB",
        ),
        _at_least(
            "PSNR gain over the best Gaussian filter",
            numbers.psnr_gain_over_gaussian_db,
            rules.psnr_gain_over_gaussian_db,
            " dB",
        ),
        _within("Bias of whole-body counts", numbers.count_bias, rules.largest_count_bias),
        _within("Bias of bone counts", numbers.bone_bias, rules.largest_bone_bias),
    ]
    contrast_rule = "Recovered lesion contrast"
    asked = f"at least {rules.smallest_lesion_contrast:g}"
    if numbers.patients_with_lesions == 0:
        verdicts.append(Verdict(contrast_rule, asked, None, False, "no lesion is known in the held-out patients"))
    else:
        note = f"{numbers.patients_with_lesions} patients with known lesions"
        found = _finite(numbers.lesion_contrast)
        passed = found is not None and found >= rules.smallest_lesion_contrast
        verdicts.append(Verdict(contrast_rule, asked, found, passed, note))
    return Decision(all(verdict.passed for verdict in verdicts), tuple(verdicts))


def _at_least(rule: str, value: float | None, smallest: float, unit: str) -> Verdict:
    found = _finite(value)
    return Verdict(
        rule, f"at least {smallest:g}{unit}", found, found is not None and found >= smallest, _absent(found)
    )


def _within(rule: str, value: float | None, largest: float) -> Verdict:
    found = _finite(value)
    passed = found is not None and abs(found) <= largest
    return Verdict(rule, f"within {largest:.1%} of zero", found, passed, _absent(found))


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _absent(found: float | None) -> str:
    return "" if found is not None else "not measured, and so not passed"
