"""The gate: may this model become champion? Every rule has a number, a margin and a verdict in words.

Two groups of rules. The *absolute* ones hold for every model, the first one too. The *paired* ones compare the new
model with the champion, both restored and scored by the same code on the same held-out patients. All must pass.
What is missing or not finite fails its rule: what was not measured cannot be let through.
"""

import math
from collections.abc import Iterator

import pandas as pd

from scintiflow.params import GateRules
from scintiflow.registry.measures import (
    MEASURES,
    OF_PICTURES,
    RESTORED,
    ROW,
    Measure,
    are_pictures,
    patient_means,
    rows_of,
)
from scintiflow.registry.paired_rules import paired_verdicts
from scintiflow.registry.verdict import ABSOLUTE, PAIRED, Champion, Decision, Verdict, counted, not_measured

NOT_ASKED = "These are pictures: rules about counts, bones and lesions were not asked."
NEEDED_COLUMNS = (*ROW, "method", "reference", "age_band", "scanner")


def decide(
    table: pd.DataFrame,
    checkpoint_sha256: str,
    rescored: Champion | None,
    champion: Champion | None,
    rules: GateRules,
) -> Decision:
    """Hold the per-patient table against the rules.

    Args:
        table: `patients.parquet` of the evaluation (docs/reference/evaluation.md); the new model's rows have the
            method 'restored', the champion's the method 'champion'.
        checkpoint_sha256: of the new model's f^IR1.
        rescored: the champion that this evaluation scored; None if it found none.
        champion: the registry's champion now; None if there has never been one.
    """
    missing = [name for name in NEEDED_COLUMNS if name not in table.columns]
    if missing:
        asked = f"columns {', '.join(NEEDED_COLUMNS)}"
        verdict = Verdict(ABSOLUTE, "Table of patients", asked, None, False, f"missing: {', '.join(missing)}")
        return _decision([verdict], champion)
    pictures = are_pictures(table)
    if pictures:
        rules = _of_pictures(rules)
    verdicts = list(_absolute(table, rules, pictures))
    if champion is not None or rescored is not None:
        verdicts += _against_champion(table, checkpoint_sha256, rescored, champion, rules)
    return _decision(verdicts, champion, NOT_ASKED if pictures else "")


def _of_pictures(rules: GateRules) -> GateRules:
    """The rules without those whose metric pictures do not have."""
    mappings = ("superiority", "non_inferiority", "subgroups", "worst_patient")
    kept = {
        name: {metric: margin for metric, margin in getattr(rules, name).items() if metric in OF_PICTURES}
        for name in mappings
    }
    return rules.model_copy(update=kept)


def _decision(verdicts: list[Verdict], champion: Champion | None, note: str = "") -> Decision:
    failed = [verdict for verdict in verdicts if not verdict.passed]
    against = (
        f"Compared with the champion, version {champion.version}, on the same held-out patients."
        if champion
        else "There is no champion yet: only the absolute rules were asked."
    )
    outcome = (
        f"All {len(verdicts)} rules passed."
        if not failed
        else f"{len(failed)} of {len(verdicts)} rules did not pass: this model may not become champion."
    )
    return Decision(not failed, f"{outcome} {against} {note}".rstrip(), champion, tuple(verdicts))


def _absolute(table: pd.DataFrame, rules: GateRules, pictures: bool) -> Iterator[Verdict]:
    patients = rows_of(table, RESTORED).index.get_level_values("patient").nunique()
    yield _at_least("Held-out patients", patients, rules.smallest_test_patients)
    if not pictures:
        with_lesions = _patients_with_lesions(table)
        yield _at_least("Held-out patients with known lesions", with_lesions, rules.smallest_lesion_patients)
    poor = "the poor picture" if pictures else "the rapid scan"
    yield _gain_over(table, "identity", poor, rules.psnr_gain_over_identity_db)
    yield _gain_over(table, "gaussian", "the best Gaussian filter", rules.psnr_gain_over_gaussian_db)
    for name, rule, asked, low, high in (
        (
            "count_bias", "Bias of the mean level" if pictures else "Bias of whole-body counts",
            f"within {rules.largest_count_bias:.1%} of zero",
            -rules.largest_count_bias, rules.largest_count_bias,
        ),
        (
            "bone_bias", "Bias of bone counts", f"within {rules.largest_bone_bias:.1%} of zero",
            -rules.largest_bone_bias, rules.largest_bone_bias,
        ),
        (
            "lesion_contrast", "Recovered lesion contrast",
            f"{rules.smallest_lesion_contrast:g} to {rules.largest_lesion_contrast:g} of the true contrast",
            rules.smallest_lesion_contrast, rules.largest_lesion_contrast,
        ),
        (
            "false_hot_spots", "Invented lesions per view", f"at most {rules.largest_false_hot_spots:g}",
            0.0, rules.largest_false_hot_spots,
        ),
        (
            "consistency_deviance", "Poisson deviance of the measured counts",
            f"{rules.smallest_deviance:g} to {rules.largest_deviance:g} of its expectation",
            rules.smallest_deviance, rules.largest_deviance,
        ),
        (
            "unsupported_share", "Body that the measured counts do not support",
            f"at most {rules.largest_unsupported_share:.3%}", 0.0, rules.largest_unsupported_share,
        ),
    ):  # fmt: skip
        if name in OF_PICTURES or not pictures:
            yield _mean_verdict(table, MEASURES[name], rule, asked, low, high)
    if not pictures:
        yield _missed_share(table, rules)


def _gain_over(table: pd.DataFrame, baseline: str, words: str, smallest: float) -> Verdict:
    rule, asked, psnr = f"PSNR gain over {words}", f"at least {smallest:g} dB", MEASURES["psnr"]
    ours, theirs = (patient_means(table, method, psnr) for method in (RESTORED, baseline))
    if ours is None or theirs is None or ours[1] or theirs[1] or not ours[0].index.equals(theirs[0].index):
        return not_measured(ABSOLUTE, rule, asked)
    gain = float((ours[0] - theirs[0]).mean())
    return _verdict(
        rule, asked, gain, smallest, math.inf, f"mean of {counted(len(ours[0]), 'patient')}", psnr.shown(gain)
    )


def _mean_verdict(table: pd.DataFrame, measure: Measure, rule: str, asked: str, low: float, high: float) -> Verdict:
    found = patient_means(table, RESTORED, measure)
    if found is None:
        return not_measured(ABSOLUTE, rule, asked)
    values, unmeasured = found
    if unmeasured:
        return not_measured(ABSOLUTE, rule, asked, f"no number in {unmeasured} of the rows that should have one")
    if values.empty:
        return not_measured(ABSOLUTE, rule, asked)
    mean = float(values.mean())
    shown = measure.shown(mean, signed=mean < 0)
    return _verdict(rule, asked, mean, low, high, f"mean of {counted(len(values), 'patient')}", shown)


def _missed_share(table: pd.DataFrame, rules: GateRules) -> Verdict:
    """Of all known lesions: a patient with many must not be hidden by many with one."""
    rule, asked = "Missed lesions", f"at most {rules.largest_missed_share:.1%} of the known"
    rows = rows_of(table, RESTORED)
    if not {"lesions", "lesions_missed"} <= set(rows.columns):
        return not_measured(ABSOLUTE, rule, asked)
    known, missed = float(rows["lesions"].sum(skipna=False)), float(rows["lesions_missed"].sum(skipna=False))
    if not (math.isfinite(known) and math.isfinite(missed) and known > 0):
        return not_measured(ABSOLUTE, rule, asked)
    share = missed / known
    return _verdict(rule, asked, share, 0.0, rules.largest_missed_share, f"{missed:g} of {known:g}", f"{share:.1%}")


def _patients_with_lesions(table: pd.DataFrame) -> float:
    rows = rows_of(table, RESTORED)
    if "lesions" not in rows.columns:
        return math.nan
    return float((rows["lesions"].groupby(level="patient").sum() > 0).sum())


def _at_least(rule: str, found: float, smallest: float) -> Verdict:
    return _verdict(rule, f"at least {smallest:g}", found, smallest, math.inf)


def _verdict(
    rule: str, asked: str, found: float, low: float, high: float, note: str = "", shown: str = ""
) -> Verdict:
    if not math.isfinite(found):
        return not_measured(ABSOLUTE, rule, asked)
    return Verdict(ABSOLUTE, rule, asked, float(found), bool(low <= found <= high), note, shown)


def _against_champion(
    table: pd.DataFrame,
    checkpoint_sha256: str,
    rescored: Champion | None,
    champion: Champion | None,
    rules: GateRules,
) -> Iterator[Verdict]:
    rule, asked = "The champion that was rescored", "is the registry's champion now"
    same = rescored is not None and champion is not None
    same = same and rescored.checkpoint_sha256 == champion.checkpoint_sha256  # type: ignore[union-attr]
    note = "" if same else f"rescored: {_named(rescored)}; champion now: {_named(champion)}; evaluate again"
    yield Verdict(PAIRED, rule, asked, None, same, note, _named(champion) if same else "")
    if champion is not None and champion.checkpoint_sha256 == checkpoint_sha256:
        note = "the weights are the champion's, byte for byte: there is nothing to promote"
        yield Verdict(PAIRED, "Another model than the champion", "other weights", None, False, note)
        return
    yield from paired_verdicts(table, rules)


def _named(champion: Champion | None) -> str:
    return "none" if champion is None else f"version {champion.version} ({champion.checkpoint_sha256[:8]})"
