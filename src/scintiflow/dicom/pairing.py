"""Which rapid scan belongs to which standard scan, decided from summaries alone.

The result depends on the set of scans, never on their order, so a later delivery of a partner turns
an unpaired scan into half of a pair.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from types import MappingProxyType

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


def pair_scans(
    scans: Iterable[ScanSummary],
    protocol: Protocol,
    overruled: Mapping[str, frozenset[Reason]] = MappingProxyType({}),
) -> Pairing:
    """Pair the scans of each patient by velocity and time. Instance UIDs must be unique.

    `overruled`: reasons that a named person has overruled, by instance UID. A scan with AMBIGUOUS_PAIR
    overruled goes before the others of its velocity.
    """
    pairs: list[ScanPair] = []
    reasons: dict[str, Reason] = {}
    of_patient: dict[str, list[ScanSummary]] = defaultdict(list)
    for scan in sorted(scans, key=lambda scan: (scan.patient, scan.acquired, scan.instance_uid)):
        reason = check_protocol(scan, protocol, overruled.get(scan.instance_uid, frozenset()))
        if reason is None:
            of_patient[scan.patient].append(scan)
        else:
            reasons[scan.instance_uid] = reason
    for candidates in of_patient.values():
        for group in _within_reach(candidates, timedelta(hours=protocol.pair_within_hours)):
            _settle(group, candidates, protocol, overruled, pairs, reasons)
    return Pairing(tuple(pairs), reasons)


def check_protocol(
    scan: ScanSummary, protocol: Protocol, overruled: frozenset[Reason] = frozenset()
) -> Reason | None:
    """Why a scan by itself cannot be half of a pair; None if it can."""
    age = scan.age_years
    outside = age is not None and not protocol.youngest_years <= age <= protocol.oldest_years
    if outside and Reason.AGE_OUT_OF_RANGE not in overruled:
        return Reason.AGE_OUT_OF_RANGE
    if not (is_rapid(scan, protocol) or is_standard(scan, protocol)):
        return Reason.VELOCITY_OUT_OF_PROTOCOL
    if not scan.views:
        return Reason.VIEW_UNKNOWN
    if scan.views != BOTH_VIEWS:
        return Reason.INCOMPLETE_SCAN
    if min(scan.counts_per_view) < protocol.smallest_counts_per_view and Reason.LOW_COUNTS not in overruled:
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
    overruled: Mapping[str, frozenset[Reason]],
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
    chosen = [_preferred(rapids, overruled), _preferred(standards, overruled)]
    outcome: ScanPair | Reason = Reason.AMBIGUOUS_PAIR
    paired: list[ScanSummary] = []
    if [len(scans) for scans in chosen] == [1, 1]:
        paired = [chosen[0][0], chosen[1][0]]
        trusted = any(Reason.PAIR_COUNTS_RATIO in overruled.get(scan.instance_uid, ()) for scan in paired)
        outcome = _joined(paired[0], paired[1], trusted)
    if isinstance(outcome, ScanPair):
        pairs.append(outcome)
    else:
        reasons.update({scan.instance_uid: outcome for scan in paired or group})
    reasons.update({scan.instance_uid: Reason.AMBIGUOUS_PAIR for scan in group if paired and scan not in paired})


def _preferred(scans: list[ScanSummary], overruled: Mapping[str, frozenset[Reason]]) -> list[ScanSummary]:
    named = [scan for scan in scans if Reason.AMBIGUOUS_PAIR in overruled.get(scan.instance_uid, ())]
    return named or scans


def _joined(rapid: ScanSummary, standard: ScanSummary, trusted: bool) -> ScanPair | Reason:
    if rapid.counts_sha256 == standard.counts_sha256:
        return Reason.PAIR_IDENTICAL
    if rapid.shape != standard.shape or abs(rapid.spacing_mm / standard.spacing_mm - 1) > SAME_SPACING:
        return Reason.PAIR_MISMATCH
    ratio = expected_count_ratio(rapid, standard)
    error = sum(standard.counts_per_view) / sum(rapid.counts_per_view) / ratio
    if not trusted and not 1 / LARGEST_RATIO_ERROR <= error <= LARGEST_RATIO_ERROR:
        return Reason.PAIR_COUNTS_RATIO
    crossed = rapid.study_uid != standard.study_uid
    return ScanPair(rapid, standard, ratio, (Notice.PAIR_CROSS_STUDY.name,) if crossed else ())
