"""Whole-body objects for tests: a plausible child, small enough to be quick, and ways to spoil it."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from scintiflow.dicom.identity import IdentityKey
from scintiflow.dicom.whole_body import WholeBodyHeader, save_object, whole_body_object
from scintiflow.params import Protocol

KEY = IdentityKey(bytes(range(32)))
PROTOCOL = Protocol(
    standard_velocity_mm_s=3.333,
    rapid_velocity_mm_s=6.667,
    velocity_tolerance=0.1,
    youngest_years=0.0,
    oldest_years=18.0,
    pair_within_hours=6.0,
    smallest_counts_per_view=2000,
)
HEADER = WholeBodyHeader(
    patient_id="MRN4711123",
    patient_name="Berra^James Yogi",
    birth_date="20150304",
    sex="F",
    age="009Y",
    size_m=1.31,
    weight_kg=28.5,
    study_uid="1.2.826.0.1.3680043.8.1.1",
    series_uid="1.2.826.0.1.3680043.8.1.2",
    instance_uid="1.2.826.0.1.3680043.8.1.3",
    frame_of_reference_uid="1.2.826.0.1.3680043.8.1.4",
    acquired=datetime(2024, 5, 6, 10, 11, 12),
    study_description="Bone scan of little James",
    series_description="WB BONE 20 CM/MIN",
    series_number=1,
    manufacturer="Siemens",
    model="Symbia Intevo",
    institution="St. Elsewhere Hospital",
    spacing_mm=4.8,
    velocity_mm_s=3.333,
    scan_length_mm=1228.8,
    frame_duration_ms=368677,
)


def child_header(seed: int, **changes) -> WholeBodyHeader:
    """What a scan of child number `seed` says, with `changes`."""
    number = seed + 1
    own = {
        "patient_id": f"MRN4711{number:03d}",
        "patient_name": f"Berra{number}^James Yogi",
        "study_uid": f"1.2.826.0.1.3680043.8.{number}.1",
        "series_uid": f"1.2.826.0.1.3680043.8.{number}.2",
        "instance_uid": f"1.2.826.0.1.3680043.8.{number}.3",
        "frame_of_reference_uid": f"1.2.826.0.1.3680043.8.{number}.4",
    }
    return replace(HEADER, **{**own, **changes})


def child_means(seed: int = 0, rows: int = 256, columns: int = 64) -> np.ndarray:
    """Expected counts `[view, row, column]` of a standard scan: a body with hot spots, views not alike."""
    generator = np.random.default_rng(seed)
    y, x = np.indices((rows, columns))
    views = []
    for _ in range(2):
        mean = 3.0 * np.exp(-(((y - rows / 2) / (rows * 0.4)) ** 4) - ((x - columns / 2) / (columns * 0.3)) ** 4)
        for _ in range(14):
            row, column = generator.uniform(0.15, 0.85) * rows, generator.uniform(0.3, 0.7) * columns
            tall, wide = generator.uniform(2, 9), generator.uniform(1.5, 3.5)
            mean += generator.uniform(4, 14) * np.exp(-(((y - row) / tall) ** 2) - ((x - column) / wide) ** 2)
        views.append(mean)
    return np.stack(views)


def standard_counts(seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, 1]).poisson(child_means(seed)).astype(np.uint16)


def rapid_counts(seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, 2]).poisson(child_means(seed) / 2).astype(np.uint16)


def standard_object(seed: int = 0, **changes) -> Dataset:
    return whole_body_object(standard_counts(seed), child_header(seed, **changes))


def rapid_object(seed: int = 0, minutes_later: float = 15, **changes) -> Dataset:
    values = {
        "series_uid": f"1.2.826.0.1.3680043.8.{seed + 1}.12",
        "instance_uid": f"1.2.826.0.1.3680043.8.{seed + 1}.13",
        "velocity_mm_s": 6.667,
        "frame_duration_ms": 184311,
        "series_description": "WB BONE 40 CM/MIN",
        "acquired": HEADER.acquired + timedelta(minutes=minutes_later),
    }
    return whole_body_object(rapid_counts(seed), child_header(seed, **{**values, **changes}))


def save_child(folder: Path, seed: int, **changes) -> tuple[Path, Path]:
    """Both scans of child number `seed`, as (rapid, standard)."""
    rapid, standard = folder / f"child{seed}-rapid.dcm", folder / f"child{seed}-standard.dcm"
    save_object(rapid, rapid_object(seed, **changes))
    save_object(standard, standard_object(seed, **changes))
    return rapid, standard
