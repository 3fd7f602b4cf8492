"""Which frame shows which view: codes first, then names, then angles; never the frame order alone."""

import re
from collections.abc import Sequence

from scintiflow.dicom.attributes import Values
from scintiflow.dicom.codes import VIEW_CODE_VALUES, VIEW_ORIENTATION
from scintiflow.dicom.reasons import Notice, Reason, Rejection

PHOTOPEAK_KEV = 140.5
NAMES = {  # as vendors write them in code meanings, image IDs and series descriptions
    "anterior": re.compile(r"(?<![A-Z])(ANT|ANTERIOR|FACE ANT|VENTRAL)(?![A-Z])", re.IGNORECASE),
    "posterior": re.compile(r"(?<![A-Z])(POST|POSTERIOR|FACE POST|DORSAL)(?![A-Z])", re.IGNORECASE),
}


def photopeak_frames(dataset: Values, frames: int, warnings: set[str]) -> list[int]:
    """Indices of the frames in the energy window that holds 140 keV. Raises Rejection."""
    windows = _vector(dataset, "EnergyWindowVector", frames)
    described = dataset.get("EnergyWindowInformationSequence") or []
    with_limits = [item for item in described if item.get("EnergyWindowRangeSequence")]
    if with_limits and not any(holds_photopeak(item) for item in with_limits):
        raise Rejection(Reason.WRONG_RADIONUCLIDE, "no energy window holds 140 keV")
    if windows is None or len(set(windows)) == 1:
        return list(range(frames))
    if not all(1 <= window <= len(described) for window in windows):
        raise Rejection(Reason.FRAME_VECTOR, "EnergyWindowVector points beyond the windows")
    wanted = {number for number, item in enumerate(described, start=1) if holds_photopeak(item)}
    chosen = [frame for frame, window in enumerate(windows) if window in wanted]
    if len(wanted) != 1 or not chosen:
        raise Rejection(Reason.FRAME_VECTOR, "no single energy window holds 140 keV")
    warnings.add(Notice.EXTRA_ENERGY_WINDOW.name)
    return chosen


def find_views(dataset: Values, frames: list[int], all_frames: int, warnings: set[str]) -> list[str | None]:
    """The view of each of `frames`, None where nothing tells. Raises Rejection."""
    if not 1 <= len(frames) <= 2:
        raise Rejection(Reason.FRAME_COUNT, f"{len(frames)} frames")
    detectors = _detectors(dataset, frames, all_frames)
    views = [_coded_view(detector) for detector in detectors]
    angles = [_view_by_angle(detector) for detector in detectors]
    names = _view_by_name(dataset) if len(frames) == 1 else None
    if names is not None and views[0] not in (None, names):
        raise Rejection(Reason.VIEW_CONFLICT, "view code against name")
    if any(a and v and a != v for a, v in zip(angles, views, strict=True)):
        warnings.add(Notice.VIEW_ANGLE.name)
    if None in views:
        views = _inferred(views, angles, names, warnings)
    if len(views) == 2 and views[0] is not None and views[0] == views[1]:
        raise Rejection(Reason.VIEW_CONFLICT, "the same view twice")
    return views


def turned(dataset: Values, frame: int, all_frames: int, view: str | None) -> tuple[bool, bool]:
    """(rows, columns) to be reversed so that row 0 is the head end and the view is as the camera sees it.

    ImageOrientationPatient decides where it is given; else a feet-first patient is taken to lie turned
    by 180 degrees in the plane of the table (our reading of PS3.3 C.7.3.1.1.2).
    """
    detector = _detectors(dataset, [frame], all_frames)[0]
    orientation = [float(cosine) for cosine in (detector.get("ImageOrientationPatient") if detector else None) or []]
    if len(orientation) == 6 and abs(orientation[5]) > 0.9 and abs(orientation[0]) > 0.9:
        across = VIEW_ORIENTATION[view or "anterior"][0]
        return orientation[5] > 0, view is not None and orientation[0] * across < 0
    feet_first = str(dataset.get("PatientPosition", "")).startswith("FF")
    return feet_first, feet_first


def _detectors(dataset: Values, frames: list[int], all_frames: int) -> list[Values | None]:
    described = dataset.get("DetectorInformationSequence") or []
    numbers = _vector(dataset, "DetectorVector", all_frames)
    if not described:
        return [None] * len(frames)
    if numbers is None:
        if all_frames > 1:
            raise Rejection(Reason.FRAME_VECTOR, "DetectorVector missing")
        numbers = [1]
    chosen = [numbers[frame] for frame in frames]
    if any(not 1 <= number <= len(described) for number in chosen):
        raise Rejection(Reason.FRAME_VECTOR, "DetectorVector points beyond the detectors")
    return [described[number - 1] for number in chosen]


def _coded_view(detector: Values | None) -> str | None:
    found: set[str | None] = set()
    for item in (detector.get("ViewCodeSequence") if detector else None) or []:
        coded = VIEW_CODE_VALUES.get(str(item.get("CodeValue", "")))
        found.add(coded or _named(item.get("CodeMeaning"), item.get("CodeValue")))
    known = {view for view in found if view}
    if len(known) > 1:
        raise Rejection(Reason.VIEW_CONFLICT, "two view codes in one detector")
    return known.pop() if known else None


def _view_by_angle(detector: Values | None) -> str | None:
    """Zero degrees is at the patient's back (PS3.3 C.8.4.11, Start Angle)."""
    try:
        angle = float(detector.get("StartAngle")) % 360 if detector else None
    except (TypeError, ValueError):
        return None
    return None if angle is None else {0.0: "posterior", 180.0: "anterior"}.get(round(angle / 10) * 10.0 % 360)


def _view_by_name(dataset: Values) -> str | None:
    return _named(dataset.get("ImageID"), dataset.get("SeriesDescription"))


def _named(*texts: object) -> str | None:
    found = {view for text in texts if text for view, pattern in NAMES.items() if pattern.search(str(text))}
    return found.pop() if len(found) == 1 else None


def _inferred(
    views: list[str | None], angles: list[str | None], names: str | None, warnings: set[str]
) -> list[str | None]:
    filled = [view or names or angle for view, angle in zip(views, angles, strict=True)]
    if len(filled) == 2 and filled.count(None) == 1:  # two opposed heads: the other one sees the other side
        known = filled[0] or filled[1]
        filled = [view or ("posterior" if known == "anterior" else "anterior") for view in filled]
    if len(filled) == 2 and filled[0] is not None and filled[0] == filled[1] and views != filled:
        filled = views  # angles that do not differ tell nothing
    warnings.add((Notice.VIEW_UNKNOWN if None in filled else Notice.VIEW_INFERRED).name)
    return filled


def holds_photopeak(window: Values) -> bool:
    for limits in window.get("EnergyWindowRangeSequence") or []:
        try:
            lower, upper = (float(limits.get(f"EnergyWindow{end}Limit")) for end in ("Lower", "Upper"))
        except (TypeError, ValueError):
            continue
        if lower <= PHOTOPEAK_KEV <= upper:
            return True
    return False


def _vector(dataset: Values, keyword: str, frames: int) -> list[int] | None:
    value = dataset.get(keyword)
    if value is None or value == "":
        return None
    numbers = [int(n) for n in value] if isinstance(value, Sequence) and not isinstance(value, str) else [int(value)]
    if len(numbers) != frames:
        raise Rejection(Reason.FRAME_VECTOR, f"{keyword} has {len(numbers)} entries for {frames} frames")
    return numbers
