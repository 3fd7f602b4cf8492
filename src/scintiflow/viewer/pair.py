"""What the review page shows: a restored object, the rapid scan it was made from, and where the two disagree."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from scintiflow.dicom.codes import VIEW_CODE_VALUES
from scintiflow.dicom.derived import is_marked, restored_counts, stated_count_ratio, stated_velocity_mm_s
from scintiflow.dicom.opening import open_object, silenced, untrusted
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.reasons import Rejection
from scintiflow.errors import ScintiflowError
from scintiflow.evaluation.consistency import scores_of_views
from scintiflow.evaluation.laterality import sides

MAKER = "scintiflow"
LARGEST_SEARCH = 2000  # files of a folder that are opened to find the rapid scan


@dataclass(frozen=True)
class Shown:
    """Arrays `[view, row, column]` in counts of the standard scan; nothing here names a patient.

    Attributes:
        restored: estimated counts.
        rapid: measured counts times k; None where the rapid scan is not at hand.
        sides: of the patient at the left and right edge of each view, 'R' or 'L'; '' where the object does not say.
        scores: standard deviations by which the restored image shows more (positive) or less than was measured.
        count_ratio: k; None where the object does not state it.
        marked: the object says that its counts contradict it; `comments` says why.
    """

    restored: np.ndarray = field(repr=False)
    rapid: np.ndarray | None = field(repr=False)
    scores: np.ndarray | None = field(repr=False)
    views: tuple[str, ...]
    sides: tuple[tuple[str, str], ...]
    spacing_mm: float
    count_ratio: float | None
    model: str
    version: str
    checkpoint: str
    derivation: str
    comments: str
    marked: bool


def load_pair(restored: Path, rapid: Path | None = None) -> Shown:
    """A restored object with its rapid scan.

    Args:
        rapid: the rapid scan, or a folder to find it in; by default it is looked for beside `restored`.

    Raises ScintiflowError if `restored` is no object of ours, or `rapid` is not, or does not hold, its source.
    """
    try:
        dataset = open_object(restored).dataset
        _check_maker(dataset, restored)
        with untrusted():
            counts = restored_counts(dataset)
            wanted = str(dataset.SourceImageSequence[0].ReferencedSOPInstanceUID)
            spacing = float(dataset.PixelSpacing[0])
    except Rejection as rejection:
        raise ScintiflowError(
            f"cannot be read ({rejection.code})", where=restored, remedy="Name a file that `scintiflow restore` wrote"
        ) from None
    measured = _find(rapid, restored, wanted, stated_velocity_mm_s(dataset))
    ratio = stated_count_ratio(dataset)
    times = ratio if ratio is not None or measured is None else float(counts.sum() / measured.sum())
    scores = None
    if measured is not None and ratio is not None:
        scores = scores_of_views(measured, counts, ratio, spacing)
    equipment = dataset.ContributingEquipmentSequence[0]
    with silenced():
        return Shown(
            restored=counts,
            rapid=None if measured is None or times is None else measured * times,
            scores=scores,
            views=_views(dataset, len(counts)),
            sides=_sides(dataset, len(counts)),
            spacing_mm=spacing,
            count_ratio=ratio,
            model=str(equipment.ManufacturerModelName),
            version=str(equipment.SoftwareVersions),
            checkpoint=str(equipment.ContributionDescription).rsplit(" ", 1)[-1],
            derivation=str(dataset.get("DerivationDescription", "")),
            comments=str(dataset.get("ImageComments", "")),
            marked=is_marked(dataset),
        )


def _check_maker(dataset: Dataset, path: Path) -> None:
    with untrusted():
        equipment = dataset.get("ContributingEquipmentSequence")
        maker = str(equipment[0].get("Manufacturer", "")) if equipment else ""
    if maker != MAKER:
        raise ScintiflowError(
            "is not a restored scan", where=path, remedy="Name a file that `scintiflow restore` wrote"
        )


def _find(rapid: Path | None, restored: Path, wanted: str, stated_mm_s: float | None) -> np.ndarray | None:
    """Counts of the scan with the wanted UID, read as it was when it was restored."""
    if rapid is not None and not rapid.is_dir():
        try:
            scan = read_scan(rapid, stated_mm_s)
        except Rejection as rejection:
            raise ScintiflowError(
                f"cannot be read ({rejection.code})", where=rapid, remedy="Name the rapid scan or its folder"
            ) from None
        if scan.instance_uid != wanted:
            raise ScintiflowError(
                "is another scan than the restored one was made from",
                where=rapid,
                remedy="Name the rapid scan itself, or a folder that holds it",
            )
        return scan.counts
    folder = restored.parent if rapid is None else rapid
    entries = folder.iterdir() if rapid is None else folder.rglob("*")
    for path in sorted(entries)[:LARGEST_SEARCH]:
        try:
            if path != restored and open_object(path).attributes.get("SOPInstanceUID") == wanted:
                return read_scan(path, stated_mm_s).counts
        except Rejection:
            continue
    if rapid is not None:
        raise ScintiflowError(
            "does not hold the rapid scan", where=rapid, remedy="Name the folder that was given to `restore`"
        )
    return None


def _views(dataset: Dataset, frames: int) -> tuple[str, ...]:
    names = []
    for number in range(frames):
        codes = dataset.DetectorInformationSequence[number].get("ViewCodeSequence")
        known = VIEW_CODE_VALUES.get(str(codes[0].CodeValue)) if codes else None
        names.append(known or f"view {number + 1}")
    return tuple(names)


def _sides(dataset: Dataset, frames: int) -> tuple[tuple[str, str], ...]:
    orientations = [
        dataset.DetectorInformationSequence[number].get("ImageOrientationPatient") for number in range(frames)
    ]
    return tuple(sides([float(cosine) for cosine in orientation or ()]) for orientation in orientations)
