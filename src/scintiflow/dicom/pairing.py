"""Which rapid scan belongs to which standard scan, decided from summaries alone.

The result depends on the set of scans, never on their order, so a later delivery of a partner turns
an unpaired scan into half of a pair.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from scintiflow.dicom.reasons import Notice, Reason
from scintiflow.dicom.scan import BOTH_VIEWS, ScanSummary
from scintiflow.params import Protocol

HALF_LIFE_H = 6.0067  # technetium-99m (Laboratoire National Henri Becquerel, recommended data)
LARGEST_RATIO_ERROR = 1.5  # measured count ratio against k; uptake and bladder filling alter counts by some 20%
SAME_SPACING = 0.005


@dataclass(frozen=True)
class ScanPair:
    rapid: ScanSummary
    standard: ScanSummary
    count_ratio: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Pairing:
    """Every scan is either in one of `pairs` or, by its instance UID, in `reasons`."""

    pairs: tuple[ScanPair, ...]
    reasons: dict[str, Reason]


def pair_scans(scans: Iterable[ScanSummary], protocol: Protocol) -> Pairing:
    """Pair the scans of each patient by velocity and time. Instance UIDs must be unique."""
    pairs: list[ScanPair] = []
    reasons: dict[str, Reason] = {}
    of_patient: dict[str, list[ScanSummary]] = defaultdict(list)
    for scan in sorted(scans, key=lambda scan: (scan.patient, scan.acquired, scan.instance_uid)):
        reason = check_protocol(scan, protocol)
        if reason is None:
            of_patient[scan.patient].append(scan)
        else:
            reasons[scan.instance_uid] = reason
    for candidates in of_patient.values():
        for group in _within_reach(candidates, timedelta(hours=protocol.pair_within_hours)):
            _settle(group, candidates, protocol, pairs, reasons)
    return Pairing(tuple(pairs), reasons)


def check_protocol(scan: ScanSummary, protocol: Protocol) -> Reason | None:
    """Why a scan by itself cannot be half of a pair; None if it can."""
    age = scan.age_years
    if age is not None and not protocol.youngest_years <= age <= protocol.oldest_years:
        return Reason.AGE_OUT_OF_RANGE
    if not (is_rapid(scan, protocol) or is_standard(scan, protocol)):
        return Reason.VELOCITY_OUT_OF_PROTOCOL
    if not scan.views:
        return Reason.VIEW_UNKNOWN
    if scan.views != BOTH_VIEWS:
        return Reason.INCOMPLETE_SCAN
    if min(scan.counts_per_view) < protocol.smallest_counts_per_view:
        return Reason.LOW_COUNTS
    return None


def is_rapid(scan: ScanSummary, protocol: Protocol) -> bool:
    return abs(scan.velocity_mm_s / protocol.rapid_velocity_mm_s - 1) <= protocol.velocity_tolerance


def is_standard(scan: ScanSummary, protocol: Protocol) -> bool:
    return abs(scan.velocity_mm_s / protocol.standard_velocity_mm_s - 1) <= protocol.velocity_tolerance


def expected_count_ratio(rapid: ScanSummary, standard: ScanSummary) -> float:
    """k: expected counts of the standard scan for one count of the rapid scan (our design).

    The slower table collects v_rapid / v_standard times as long. Technetium decays between the scans:
    with t the start of an acquisition, the factor 2^(-(t_standard - t_rapid) / half-life) is below one
    if the standard scan came second and above one if it came first. Uptake is taken to be unchanged.
    """
    hours = (standard.moment - rapid.moment).total_seconds() / 3600
    return rapid.velocity_mm_s / standard.velocity_mm_s * 2.0 ** (-hours / HALF_LIFE_H)


def _within_reach(candidates: list[ScanSummary], reach: timedelta) -> list[list[ScanSummary]]:
    """Runs of scans, in order of time, in which each is within `reach` of the one before."""
    groups = [[candidates[0]]]
    for earlier, later in pairwise(candidates):
        if later.moment - earlier.moment <= reach:
            groups[-1].append(later)
        else:
            groups.append([later])
    return groups


def _settle(
    group: list[ScanSummary],
    candidates: list[ScanSummary],
    protocol: Protocol,
    pairs: list[ScanPair],
    reasons: dict[str, Reason],
) -> None:
    rapids = [scan for scan in group if is_rapid(scan, protocol)]
    standards = [scan for scan in group if not is_rapid(scan, protocol)]
    if not rapids or not standards:
        elsewhere = any(is_rapid(scan, protocol) != bool(rapids) for scan in candidates)
        alone = Reason.NO_STANDARD if rapids else Reason.NO_RAPID
        reasons.update({scan.instance_uid: Reason.PAIR_TOO_FAR if elsewhere else alone for scan in group})
        return
    outcome: ScanPair | Reason = Reason.AMBIGUOUS_PAIR
    if len(rapids) == len(standards) == 1:
        outcome = _joined(rapids[0], standards[0])
    if isinstance(outcome, ScanPair):
        pairs.append(outcome)
    else:
        reasons.update({scan.instance_uid: outcome for scan in group})


def _joined(rapid: ScanSummary, standard: ScanSummary) -> ScanPair | Reason:
    if rapid.counts_sha256 == standard.counts_sha256:
        return Reason.PAIR_IDENTICAL
    if rapid.shape != standard.shape or abs(rapid.spacing_mm / standard.spacing_mm - 1) > SAME_SPACING:
        return Reason.PAIR_MISMATCH
    ratio = expected_count_ratio(rapid, standard)
    error = sum(standard.counts_per_view) / sum(rapid.counts_per_view) / ratio
    if not 1 / LARGEST_RATIO_ERROR <= error <= LARGEST_RATIO_ERROR:
        return Reason.PAIR_COUNTS_RATIO
    crossed = rapid.study_uid != standard.study_uid
    return ScanPair(rapid, standard, ratio, (Notice.PAIR_CROSS_STUDY.name,) if crossed else ())
