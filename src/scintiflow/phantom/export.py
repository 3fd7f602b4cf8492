"""A simulated child as a hospital would export it: two NM whole-body objects with names and dates in them.

The identity is invented, and complete enough that de-identification has something to remove.
"""

import hashlib
from datetime import date, datetime, time, timedelta
from pathlib import Path

import numpy as np

from scintiflow.dicom.whole_body import WholeBodyHeader, save_object, whole_body_object
from scintiflow.phantom.camera import ROWS, SPACING_MM
from scintiflow.phantom.child import Child, Velocities

INSTITUTION = "Simulated Children's Hospital"
MANUFACTURER, MODEL = "Simulated", "Two-headed phantom camera"
FIRST_DAY, DAYS = date(2019, 1, 7), 5 * 365
DAYS_PER_YEAR, MONTHS_PER_YEAR = 365.25, 12
MONTHS_UNTIL_YEARS = 24  # younger children's age is stated in months
ROOT = "2.25"


def save_child(
    folder: Path, child: Child, velocities: Velocities, recipe: str, generator: np.random.Generator
) -> None:
    """Write `<PatientID>/<StudyInstanceUID>/<series>_0001.dcm` for both scans under `folder`.

    Args:
        recipe: text that fixes the child together with its index; all UIDs are derived from both.
        generator: draws the invented identity.
    """
    study = _study(child, recipe, generator)
    order = ("standard", "rapid") if child.standard_first else ("rapid", "standard")
    first_start: datetime = study.pop("first_start")
    for series, speed in enumerate(order, start=1):
        velocity = velocities.standard if speed == "standard" else velocities.rapid
        length = ROWS * SPACING_MM
        header = WholeBodyHeader(
            **study,
            series_uid=_uid(recipe, child.index, f"series {speed}"),
            instance_uid=_uid(recipe, child.index, f"instance {speed}"),
            acquired=first_start + timedelta(seconds=child.seconds_between if series == 2 else 0),
            series_description=f"WB BONE {velocity * 6:.0f} CM/MIN",
            series_number=series,
            spacing_mm=SPACING_MM,
            velocity_mm_s=velocity,
            scan_length_mm=length,
            frame_duration_ms=round(1000 * length / velocity),
        )
        counts = child.counts_standard if speed == "standard" else child.counts_rapid
        path = folder / header.patient_id / header.study_uid / f"{series:03d}_0001.dcm"
        save_object(path, whole_body_object(counts, header))


def age_string(age: float) -> str:
    """Age in years as DICOM says it (PS3.5 6.2, VR AS): whole months below two years, whole years above."""
    months = int(age * MONTHS_PER_YEAR)
    return f"{months:03d}M" if months < MONTHS_UNTIL_YEARS else f"{int(age):03d}Y"


def _study(child: Child, recipe: str, generator: np.random.Generator) -> dict:
    """What both scans of a child have in common, and when the first one started."""
    day = FIRST_DAY + timedelta(days=int(generator.integers(DAYS)))
    start = datetime.combine(day, time(9)) + timedelta(seconds=int(generator.integers(7 * 3600)))
    born = day - timedelta(days=round(child.age * DAYS_PER_YEAR))
    number = int(_digest(recipe, child.index, "patient")[:8], 16) % 10**7
    return {
        "first_start": start,
        "patient_id": f"SIM{number:07d}-{child.index:04d}",
        "patient_name": f"SIMULATED^CHILD{child.index:04d}",
        "birth_date": born.strftime("%Y%m%d"),
        "sex": "FM"[int(generator.integers(2))],
        "age": age_string(child.age),
        "size_m": round(child.anatomy.build.height / 1000, 2),
        "weight_kg": round(child.anatomy.build.weight, 1),
        "study_uid": _uid(recipe, child.index, "study"),
        "frame_of_reference_uid": _uid(recipe, child.index, "frame of reference"),
        "study_description": "Bone scan, whole body",
        "manufacturer": MANUFACTURER,
        "model": MODEL,
        "institution": INSTITUTION,
        "accession_number": f"ACC{number:07d}",
        "referring_physician": "SIMULATED^REFERRER",
    }


def _uid(recipe: str, index: int, purpose: str) -> str:
    """A UID under 2.25 (PS3.5 B.2) from 128 bits of a hash."""
    return f"{ROOT}.{int(_digest(recipe, index, purpose)[:32], 16)}"


def _digest(recipe: str, index: int, purpose: str) -> str:
    return hashlib.sha256(f"{recipe}\0{index}\0{purpose}".encode()).hexdigest()
