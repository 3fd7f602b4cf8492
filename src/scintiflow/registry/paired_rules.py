"""The gate's rules against the champion: better on the image, no worse on lesions and counts, in no group worse.

All numbers are losses: new model against champion, patient by patient, positive is worse.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from scintiflow.params import GateRules
from scintiflow.registry.measures import MEASURES, Measure, Pair, PatientLosses, values_of
from scintiflow.registry.paired import superiority_p, upper_bound_of_mean
from scintiflow.registry.verdict import PAIRED, SUBGROUP, Verdict, counted, not_measured

GROUPINGS = {"age_band": "ages", "view": "view", "scanner": "scanner"}


def paired_verdicts(table: pd.DataFrame, rules: GateRules) -> Iterator[Verdict]:
    """One verdict for each metric of each rule, and for each group of patients."""
    pair = Pair.of(table)
    yield _same_patients(pair)
    if not pair.same_scans:
        return
    yield _something_changed(pair)
    for name, smallest in rules.superiority.items():
        yield _superior(pair, MEASURES[name], smallest, rules)
    for name, margin in rules.non_inferiority.items():
        yield _not_inferior(pair, MEASURES[name], margin, rules)
    for name, margin in rules.worst_patient.items():
        yield _worst_patient(pair, MEASURES[name], margin)
    for column, words in GROUPINGS.items():
        groups = pair.groups(column)
        for group in sorted(set(groups)):
            for name, margin in rules.subgroups.items():
                yield _group_verdict(pair, groups == group, f"{words} {group}", MEASURES[name], margin)


def _same_patients(pair: Pair) -> Verdict:
    rule, asked = "The same patients", "every scan of the new model is one of the champion, and the reverse"
    if pair.old.empty:
        return not_measured(PAIRED, rule, asked, "the champion was not rescored on these patients")
    only_one = len(set(pair.new.index) ^ set(pair.old.index))
    patients = pair.new.index.get_level_values("patient").nunique()
    note = counted(patients, "patient") if pair.same_scans else f"{counted(only_one, 'scan')} of one model only"
    return Verdict(PAIRED, rule, asked, float(only_one), pair.same_scans, note, f"{only_one} unpaired")


def _something_changed(pair: Pair) -> Verdict:
    """Two files may differ and restore alike: weights saved anew, a changed description."""
    rule, asked = "Another model than the champion", "at least one scan restored differently"
    changed = pd.Series(False, index=pair.new.index)
    for measure in MEASURES.values():
        ours, theirs = values_of(pair.new, measure), values_of(pair.old, measure)
        if ours is not None and theirs is not None:
            changed |= (ours != theirs) & ~(ours.isna() & theirs.isna())
    count = int(changed.sum())
    return Verdict(PAIRED, rule, asked, float(count), count > 0, "", f"{count} of {counted(len(changed), 'scan')}")


def _superior(pair: Pair, measure: Measure, smallest: float, rules: GateRules) -> Verdict:
    rule = f"{measure.words}: better than the champion"
    least = "0" if smallest == 0 else measure.shown(smallest, signed=False)
    asked = f"mean gain above {least} and p below {rules.significance:g} (Wilcoxon signed-rank, one-sided)"
    found = pair.losses(measure)
    if (refusal := _unusable(found, rule, asked)) is not None:
        return refusal
    assert found is not None
    gains = -found.losses.to_numpy()
    p, mean = superiority_p(gains - smallest), float(gains.mean())
    if not np.isfinite(p):
        return not_measured(PAIRED, rule, asked, f"too few: {counted(len(gains), 'patient')}")
    note = f"p = {p:.2g}; a gain for {int((gains > 0).sum())} of {counted(len(gains), 'patient')}"
    return Verdict(
        PAIRED, rule, asked, mean, p < rules.significance and mean > smallest, note, f"gain {measure.shown(mean)}"
    )


def _not_inferior(pair: Pair, measure: Measure, margin: float, rules: GateRules) -> Verdict:
    rule = f"{_capital(measure.words)}: no worse than the champion"
    asked = f"mean loss below {measure.shown(margin, signed=False)}, with {1 - rules.significance:.0%} confidence"
    found = pair.losses(measure)
    if (refusal := _unusable(found, rule, asked)) is not None:
        return refusal
    assert found is not None
    values = found.losses.to_numpy()
    low, high = upper_bound_of_mean(values, rules.significance, rules.bootstrap_samples, rules.seed)
    if not np.isfinite(high):
        return not_measured(PAIRED, rule, asked, f"too few: {counted(len(values), 'patient')}")
    interval = f"{measure.scale * low:+.{measure.digits}f} to {measure.shown(high)}".replace("-", "−")
    note = f"bootstrap {interval}; {counted(len(values), 'patient')}"
    return Verdict(
        PAIRED, rule, asked, float(values.mean()), high < margin, note, f"loss {measure.shown(values.mean())}"
    )


def _worst_patient(pair: Pair, measure: Measure, margin: float) -> Verdict:
    rule = f"{_capital(measure.words)}: the patient who loses most"
    asked = f"loss at most {measure.shown(margin, signed=False)}"
    found = pair.losses(measure)
    if (refusal := _unusable(found, rule, asked)) is not None:
        return refusal
    assert found is not None
    worst, patient = float(found.losses.max()), found.losses.idxmax()
    return Verdict(PAIRED, rule, asked, worst, worst <= margin, f"{patient}", f"loss {measure.shown(worst)}")


def _group_verdict(pair: Pair, scans: pd.Series, group: str, measure: Measure, margin: float) -> Verdict:
    rule, asked = f"{_capital(group)}: {measure.words}", f"mean loss at most {measure.shown(margin, signed=False)}"
    found = pair.losses(measure, scans)
    if measure.lesions_only and found is not None and found.losses.empty and not found.unmeasured:
        return Verdict(SUBGROUP, rule, asked, None, True, "no known lesion in this group: nothing to lose")
    if (refusal := _unusable(found, rule, asked)) is not None:
        return Verdict(SUBGROUP, *(getattr(refusal, name) for name in ("rule", "asked", "found", "passed", "note")))
    assert found is not None
    mean, patients = float(found.losses.mean()), len(found.losses)
    note = counted(patients, "patient")
    return Verdict(SUBGROUP, rule, asked, mean, mean <= margin, note, f"loss {measure.shown(mean)}")


def _unusable(found: PatientLosses | None, rule: str, asked: str) -> Verdict | None:
    if found is None:
        return not_measured(PAIRED, rule, asked, "the table of patients lacks a column for it")
    if found.unmeasured:
        return not_measured(
            PAIRED, rule, asked, f"no number in {counted(found.unmeasured, 'scan')} that should have one"
        )
    if found.losses.empty:
        return not_measured(PAIRED, rule, asked, "no patient to measure it on")
    return None


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
