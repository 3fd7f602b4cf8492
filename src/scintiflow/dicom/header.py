"""What the header says about time, patient, table and camera, as numbers that can be trusted."""

import math
import re
from datetime import date, datetime, time
from functools import lru_cache

from scintiflow.dicom.attributes import Values
from scintiflow.dicom.codes import TECHNETIUM_99M_VALUES
from scintiflow.dicom.reasons import Notice, Reason, Rejection

SAME_VELOCITY = 0.02  # what a person states against what the header gives
VELOCITY_AGREEMENT = 0.25  # header against scan length / duration; real scans agree to about 10%
SLOWEST_MM_S, FASTEST_MM_S = 0.2, 15.0
CM_MIN_PER_MM_S = 6.0
DAYS_PER_YEAR = 365.25
AGE_UNITS_PER_YEAR = {"D": DAYS_PER_YEAR, "W": DAYS_PER_YEAR / 7, "M": 12.0, "Y": 1.0}
SCANNERS = (  # fixed vocabulary: (pattern in manufacturer and model, name)
    (r"millennium", "GE Millennium"),
    (r"discovery", "GE Discovery"),
    (r"infinia", "GE Infinia"),
    (r"optima", "GE Optima"),
    (r"starguide", "GE StarGuide"),
    (r"\bge\b", "GE"),
    (r"symbia", "Siemens Symbia"),
    (r"e\.?cam", "Siemens e.cam"),
    (r"siemens", "Siemens"),
    (r"brightview", "Philips BrightView"),
    (r"philips|adac", "Philips"),
    (r"anyscan", "Mediso AnyScan"),
    (r"mediso", "Mediso"),
    (r"simulat|phantom", "Simulated"),
)


def number(dataset: Values, keyword: str) -> float | None:
    """A finite number, or None where the attribute is missing, empty or no number."""
    try:
        value = float(dataset.get(keyword))
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def text(dataset: Values, keyword: str) -> str:
    """The value as text, '' where the attribute is missing. Raises TypeError for a sequence."""
    value = dataset.get(keyword)
    if isinstance(value, tuple):
        raise TypeError(f"{keyword} is a sequence")
    return "" if value is None else str(value).replace("\0", "").strip()


def pixel_spacing(dataset: Values) -> float:
    """Side of the square pixel in mm. Raises Rejection GEOMETRY."""
    try:
        row, column = (float(value) for value in dataset.get("PixelSpacing"))
    except (TypeError, ValueError):
        raise Rejection(Reason.GEOMETRY, "PixelSpacing missing") from None
    if not (0.5 <= row <= 12 and 0.5 <= column <= 12):
        raise Rejection(Reason.GEOMETRY, f"{row:g} x {column:g} mm")
    if abs(row / column - 1) > 0.01:
        raise Rejection(Reason.GEOMETRY, f"{row:g} x {column:g} mm is not square")
    return row


def table_velocity(
    dataset: Values, warnings: set[str], trusted: bool = False, stated_mm_s: float | None = None
) -> tuple[float, bool]:
    """Velocity in mm/s and whether it was inferred from ScanLength / ActualFrameDuration. Raises Rejection.

    Args:
        trusted: a person vouches for the velocity given, even against length and duration.
        stated_mm_s: what a person says where the header says nothing; refused where it says something else.
    """
    found = _velocity_of_header(dataset, warnings, trusted)
    if stated_mm_s is None:
        if found is None:
            raise Rejection(Reason.VELOCITY_UNKNOWN)
        return found
    if found is None:
        warnings.add(Notice.VELOCITY_STATED.name)
        return stated_mm_s, False
    velocity, inferred = found
    if abs(velocity / stated_mm_s - 1) > (VELOCITY_AGREEMENT if inferred else SAME_VELOCITY):
        raise Rejection(Reason.VELOCITY_STATED_OTHERWISE, f"{velocity:.3g} mm/s, not {stated_mm_s:.3g}")
    return found


def _velocity_of_header(dataset: Values, warnings: set[str], trusted: bool) -> tuple[float, bool] | None:
    """None where the header says nothing of it."""
    raw = dataset.get("ScanVelocity")
    given = number(dataset, "ScanVelocity")
    if raw not in (None, "") and (given is None or given < 0):
        raise Rejection(Reason.VELOCITY_INVALID)
    length, duration = number(dataset, "ScanLength"), duration_s(dataset)
    inferred = length / duration if length and length > 0 and duration else None
    if not given:
        if inferred is None:
            return None
        if not SLOWEST_MM_S <= inferred <= FASTEST_MM_S:
            raise Rejection(Reason.VELOCITY_INVALID, f"inferred {inferred:.3g} mm/s")
        warnings.add(Notice.VELOCITY_INFERRED.name)
        return inferred, True
    if inferred is not None and abs(given / inferred / CM_MIN_PER_MM_S - 1) < VELOCITY_AGREEMENT:
        raise Rejection(Reason.VELOCITY_UNITS, f"{given:g} given, {inferred:.3g} mm/s inferred")
    if given > FASTEST_MM_S:
        in_mm_s = given / CM_MIN_PER_MM_S
        plausible = inferred is None and SLOWEST_MM_S <= in_mm_s <= FASTEST_MM_S
        raise Rejection(Reason.VELOCITY_UNITS if plausible else Reason.VELOCITY_INVALID, f"{given:g}")
    if given < SLOWEST_MM_S:
        raise Rejection(Reason.VELOCITY_INVALID, f"{given:g}")
    if inferred is not None and not trusted and abs(given / inferred - 1) > VELOCITY_AGREEMENT:
        raise Rejection(Reason.VELOCITY_CONFLICT, f"{given:g} given, {inferred:.3g} mm/s inferred")
    return given, False


def duration_s(dataset: Values) -> float | None:
    """ActualFrameDuration (ms) in seconds, None if missing or not positive."""
    milliseconds = number(dataset, "ActualFrameDuration")
    return milliseconds / 1000 if milliseconds and milliseconds > 0 else None


def acquired(dataset: Values, warnings: set[str]) -> datetime:
    """Start of the acquisition, the first of Acquisition, Content, Series date and time. Raises DATE_INVALID."""
    combined = text(dataset, "AcquisitionDateTime")
    if combined:
        moment = _moment(combined[:8], combined[8:].split("+")[0].split("-")[0], warnings)
        if moment:
            return moment
    for kind in ("Acquisition", "Content", "Series"):
        moment = _moment(text(dataset, f"{kind}Date"), text(dataset, f"{kind}Time"), warnings)
        if moment:
            return moment
    raise Rejection(Reason.DATE_INVALID)


def parse_date(value: str, warnings: set[str]) -> date | None:
    """YYYYMMDD, or the outdated YYYY.MM.DD with a warning; None for anything else."""
    value = value.strip()
    if not value or set(value) <= {"0"}:
        return None
    if re.fullmatch(r"\d{4}\.\d{2}\.\d{2}", value):
        warnings.add(Notice.DATE_FORMAT.name)
        value = value.replace(".", "")
    try:
        return _day(value) if len(value) == 8 else None
    except ValueError:
        warnings.add(Notice.DATE_FORMAT.name)
        return None


@lru_cache(maxsize=256)
def _day(value: str) -> date:
    return datetime.strptime(value, "%Y%m%d").date()


def age_years(dataset: Values, at: datetime, warnings: set[str]) -> float | None:
    """Age at acquisition: from the birth date, else from Patient's Age; None with a warning if unknown."""
    born = parse_date(text(dataset, "PatientBirthDate"), warnings)
    if born is not None and born <= at.date():
        return (at.date() - born).days / DAYS_PER_YEAR
    stated = re.fullmatch(r"(\d{1,3})([DWMY])", text(dataset, "PatientAge").upper())
    if stated and (int(stated[1]) > 0 or stated[2] != "Y"):
        return int(stated[1]) / AGE_UNITS_PER_YEAR[stated[2]]
    warnings.add(Notice.AGE_UNKNOWN.name)
    return None


def size_and_weight(dataset: Values) -> tuple[float | None, float | None]:
    """Height in m and weight in kg, each None where missing, zero or impossible."""
    size, weight = number(dataset, "PatientSize"), number(dataset, "PatientWeight")
    return (
        size if size is not None and 0.2 <= size <= 2.5 else None,
        weight if weight is not None and 0.4 <= weight <= 350 else None,
    )


def scanner(dataset: Values) -> str:
    """Manufacturer and model from a fixed vocabulary: free text may hold names."""
    return _scanner(f"{text(dataset, 'Manufacturer')} {text(dataset, 'ManufacturerModelName')}")


@lru_cache(maxsize=64)
def _scanner(described: str) -> str:
    return next((name for pattern, name in SCANNERS if re.search(pattern, described, re.IGNORECASE)), "Other")


def check_radionuclide(dataset: Values) -> None:
    """Refuse a radionuclide that is named and is not technetium-99m. Many real objects name none."""
    for code in _radionuclides(dataset):
        meaning = text(code, "CodeMeaning").lower()
        technetium = "99m" in meaning or re.search(r"tc.?-?99", meaning)
        if text(code, "CodeValue") not in TECHNETIUM_99M_VALUES and not technetium:
            raise Rejection(Reason.WRONG_RADIONUCLIDE)


def names_radionuclide(dataset: Values) -> bool:
    """True if the object names a radionuclide (which is technetium-99m, once checked)."""
    return bool(_radionuclides(dataset))


def _radionuclides(dataset: Values) -> list[Values]:
    """Code items that say something; empty items occur."""
    described = dataset.get("RadiopharmaceuticalInformationSequence") or []
    codes = [code for item in described for code in item.get("RadionuclideCodeSequence") or []]
    return [code for code in codes if text(code, "CodeValue") or text(code, "CodeMeaning")]


def _moment(day: str, clock: str, warnings: set[str]) -> datetime | None:
    parsed_day = parse_date(day, warnings)
    digits = clock.strip().replace(":", "")
    shaped = re.fullmatch(r"(\d{2})(\d{2})(\d{2})?(?:\.(\d{1,6}))?", digits)
    if parsed_day is None or shaped is None:
        return None
    try:
        at = time(int(shaped[1]), int(shaped[2]), int(shaped[3] or 0), int((shaped[4] or "0").ljust(6, "0")))
    except ValueError:
        return None
    return datetime.combine(parsed_day, at)
