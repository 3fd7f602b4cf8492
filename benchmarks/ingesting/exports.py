"""Exports to take in: children scanned twice, stored natively, compressed, or as a hospital's mixture.

Headers are those of the tests (tests/dicom/dicom_samples.py); the matrix is of clinical size unless told otherwise.
"""

import sys
import warnings
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from scintiflow.dicom.whole_body import object_bytes, whole_body_object

sys.path.append(str(Path(__file__).parents[2] / "tests" / "dicom"))
from dicom_samples import HEADER, KEY, PROTOCOL, child_header

__all__ = ["KEY", "KINDS", "PROTOCOL", "write_export"]

CLINICAL = (1024, 256)  # rows, columns
SPACING_MM, LENGTH_MM = 2.26, 2314.0
STANDARD_MM_S = 3.333
KINDS = ("native", "RLE lossless", "mixed vendors")
MIXTURE = (  # of every ten children: how their scans are stored
    *["native"] * 4,
    *["implicit VR"] * 2,
    "RLE lossless",
    *["JPEG 2000 lossless"] * 2,
    "one view in each file",
)


def write_export(folder: Path, files: int, kind: str, matrix: tuple[int, int] = CLINICAL) -> int:
    """About `files` objects of `kind`, no two alike, with `matrix` rows and columns; how many there are."""
    written = child = 0
    while written < files:
        stored = MIXTURE[child % len(MIXTURE)] if kind == "mixed vendors" else kind
        objects = [scan for rapid in (False, True) for scan in _scans(child, rapid, stored, matrix)]
        for number, dataset in enumerate(objects):
            if kind == "mixed vendors":
                _dress(dataset, child)
            target = folder / f"{child:06d}" / f"{number}.dcm"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(_stored(dataset, stored))
        written, child = written + len(objects), child + 1
    return written


def _scans(child: int, rapid: bool, stored: str, matrix: tuple[int, int]) -> list[Dataset]:
    """One object, or one for each view."""
    root = f"1.2.826.0.1.3680043.8.{child + 1}"
    velocity = STANDARD_MM_S * (1 + rapid)
    header = {
        "series_uid": f"{root}.2.{int(rapid)}",
        "instance_uid": f"{root}.3.{int(rapid)}",
        "acquired": HEADER.acquired + timedelta(minutes=15 * rapid),
        "velocity_mm_s": velocity,
        "spacing_mm": SPACING_MM,
        "scan_length_mm": LENGTH_MM,
        "frame_duration_ms": int(1000 * LENGTH_MM / velocity) + child % 1000,
    }
    counts = np.roll(_drawn(rapid, matrix), (child % matrix[0], child // matrix[0]), axis=(1, 2))
    if stored != "one view in each file":
        return [whole_body_object(counts, child_header(child, **header))]
    halves = []
    for number, view in enumerate(("anterior", "posterior")):
        own = header | {"views": (view,), "instance_uid": f"{root}.3.{int(rapid)}.{number}"}
        halves.append(whole_body_object(counts[number : number + 1], child_header(child, **own)))
    return halves


@cache
def _drawn(rapid: bool, matrix: tuple[int, int]) -> np.ndarray:
    """Counts of one scan; to draw them for each child anew takes longer than to take the child in."""
    rows, columns = matrix
    body = 3.0 * np.exp(-(((np.indices(matrix)[1] - columns / 2) / (columns * 0.3)) ** 4))
    drawn = np.random.default_rng([1, rapid]).poisson(np.broadcast_to(body / (1 + rapid), (2, rows, columns)))
    return drawn.astype(np.uint16)


def _dress(dataset: Dataset, child: int) -> None:
    """What vendors and departments write beside what is needed: names, notes, a private block, a request."""
    dataset.StationName, dataset.OperatorsName = f"NM{child % 3}", "Doe^Jane"
    dataset.InstitutionAddress, dataset.ProtocolName = "1 Elsewhere Street", f"WB BONE {child % 5}"
    dataset.PerformingPhysicianName = dataset.RequestingPhysician = "Roe^Richard"
    dataset.DeviceSerialNumber, dataset.PerformedProcedureStepID = f"{child % 3:08d}", f"PPS{child:06d}"
    dataset.ImageComments = f"scan of child {child}, lay still"
    dataset.RadiopharmaceuticalInformationSequence[0].RadionuclideTotalDose = f"{100 + child % 97}.5"
    for number, item in enumerate(dataset.DetectorInformationSequence):
        item.RadialPosition = f"{180 + child % 13 + number}"
    request = Dataset()
    request.RequestedProcedureID, request.ScheduledProcedureStepID = f"RP{child:06d}", f"SPS{child:06d}"
    dataset.RequestAttributesSequence = Sequence([request])
    private = dataset.private_block(0x0009, "VENDOR NM 1.0", create=True)
    for number in range(20):
        private.add_new(number, "LO", f"setting {number} of {child % 7}")


def _stored(dataset: Dataset, stored: str) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if stored == "RLE lossless":
            dataset.compress(RLELossless, generate_instance_uid=False)
        elif stored == "JPEG 2000 lossless":
            dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        elif stored == "implicit VR":
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        return object_bytes(dataset)
