"""Restoring one scan with a model: a rapid NM object in, a derived NM object out.

Not a stage of the pipeline: this is what a trained model is for. f^IR1 alone runs; SAM and masks are not needed.
Folders (`restoring_folders`), the command line and whoever serves the model call `open_model` once and
`restore_object` for each scan.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from scintiflow.dicom.derived import ModelIdentity, restored_object, velocity_statement
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.reasons import Notice, Reason, Rejection
from scintiflow.dicom.scan import Scan
from scintiflow.dicom.whole_body import save_object
from scintiflow.errors import ScintiflowError
from scintiflow.evaluation.agreement import Agreement, Calibration, agreement, contradictions, load_calibration
from scintiflow.modality import BONE_SCAN
from scintiflow.params import Protocol
from scintiflow.restoration.model_folder import (
    CALIBRATION,
    REFERENCE,
    REFERENCE_FOLDER,
    checkpoint_sha256,
    modality_of_cascade,
    trained_accelerations,
)
from scintiflow.restoration.runtime import open_restorer

SHORT_HASH = 12
NOT_JUDGED = "Agreement with the measured counts was not judged: the model has no calibration"
Watch = Callable[[Scan, np.ndarray, float, ModelIdentity], None]  # scan, restored counts, k, model
UNTRAINED_SPEED = "The scan's velocity is beyond what the model was trained for"


@dataclass(frozen=True)
class OpenModel:
    """A model ready for use.

    Attributes:
        restore: (rapid counts `[view, row, column]`, k) -> estimated standard counts.
        accelerations: lowest and highest k it may be asked for; None: the protocol's rapid scans and no others.
        calibration: from when on a restoration contradicts its counts; None: nobody knows for this model.
        folder: where its files lie on this machine, as long as this object lives.
    """

    restore: Callable[[np.ndarray, float], np.ndarray]
    identity: ModelIdentity
    accelerations: tuple[float, float] | None
    calibration: Calibration | None = None
    folder: Path | None = None
    _kept: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class RestoredScan:
    """A rapid scan and what became of it.

    Attributes:
        scan: as it was read.
        counts: estimated counts of the standard scan, float32 `[view, row, column]`.
        count_ratio: k, expected standard / rapid counts.
        agreement: of the restored with the measured counts.
        objections: why the restored image must not be believed, in words; empty where nothing speaks against it.
        dataset: the derived NM object, marked if there are objections.
    """

    scan: Scan = field(repr=False)
    counts: np.ndarray = field(repr=False)
    count_ratio: float
    agreement: Agreement
    objections: tuple[str, ...]
    dataset: Dataset = field(repr=False)


def restore_object(
    path: Path,
    model: OpenModel,
    protocol: Protocol,
    any_velocity: bool = False,
    stated_velocity_mm_s: float | None = None,
) -> RestoredScan:
    """Restore the rapid scan in a DICOM file; writes nothing.

    Args:
        protocol: k is the scan's velocity over the standard one. A scan is rapid if k is among the model's
            accelerations, or for a model that knows none its velocity is `rapid_velocity_mm_s` within the tolerance.
        any_velocity: also restore a scan of another velocity above the standard one, and say so in the object.
        stated_velocity_mm_s: the table's where the header gives none; the object and the scan's warnings say so. A
            scan whose header gives another is refused.

    Equal inputs give equal objects, UIDs included, on one kind of processor. Raises Rejection for what is no rapid
    whole-body scan: restored already, another radionuclide, compressed with loss, too slow, too fast.
    """
    scan = read_scan(path, stated_velocity_mm_s)
    count_ratio = scan.velocity_mm_s / protocol.standard_velocity_mm_s
    trained = _is_rapid(scan.velocity_mm_s, count_ratio, model, protocol)
    if not trained and not (any_velocity and count_ratio > 1):
        raise Rejection(Reason.VELOCITY_OUT_OF_PROTOCOL, f"{scan.velocity_mm_s:.3f} mm/s, k = {count_ratio:.2f}")
    counts = model.restore(scan.counts, count_ratio)
    seen = agreement(scan.counts, counts, count_ratio, scan.spacing_mm)
    objections = [] if model.calibration is None else contradictions(seen, model.calibration)
    notes = [
        f"Restored from a rapid scan to the counts of a standard scan, k = {count_ratio:.3f}. Processed image",
        *([UNTRAINED_SPEED] if not trained else []),
        *([velocity_statement(scan.velocity_mm_s)] if is_velocity_stated(scan) else []),
        *([NOT_JUDGED] if model.calibration is None else []),
    ]
    dataset = restored_object(path, counts, model.identity, ". ".join(notes), tuple(objections), stated_velocity_mm_s)
    return RestoredScan(scan, counts, count_ratio, seen, tuple(objections), dataset)


def is_velocity_stated(scan: Scan) -> bool:
    """Whether a person stated the velocity, because the header gives none."""
    return Notice.VELOCITY_STATED.name in scan.warnings


def restore_file(
    path: Path, target: Path, model: OpenModel, protocol: Protocol, watch: Watch | None = None
) -> RestoredScan:
    """`restore_object` written to `target`, whole or not at all; `watch` is then told of it.

    An object that its counts contradict is written too, marked. Raises Rejection as `restore_object` does.
    """
    restored = restore_object(path, model, protocol)
    save_object(target, restored.dataset)
    if watch is not None:
        watch(restored.scan, restored.counts, restored.count_ratio, model.identity)
    return restored


def open_model(text: str, cores: int = 1) -> OpenModel:
    """The model that the text names: 'reference', or NAME@ALIAS in the registry.

    At most `cores` views are restored at once. Raises ScintiflowError if there is no such model.
    """
    if text == REFERENCE:
        sha256 = checkpoint_sha256(REFERENCE_FOLDER)
        return open_folder(
            REFERENCE_FOLDER, ModelIdentity("scintiflow-reference", sha256[:SHORT_HASH], sha256), cores
        )
    from scintiflow.registry.models import fetch_model  # MLflow takes seconds to start

    name, alias = parse_model(text)
    place = tempfile.TemporaryDirectory(prefix="scintiflow-model-")
    found = fetch_model(name, alias, Path(place.name))
    identity = ModelIdentity(found.name, found.version, found.checkpoint_sha256)
    return open_folder(Path(place.name), identity, cores, place)


def open_folder(
    folder: Path, identity: ModelIdentity, cores: int = 1, kept: tempfile.TemporaryDirectory[str] | None = None
) -> OpenModel:
    """The model whose files lie in a folder. `kept`: the temporary folder to remove with the model.

    Raises ScintiflowError if files are missing or do not belong together, or the model restores pictures.
    """
    if modality_of_cascade(folder) != BONE_SCAN.name:
        raise ScintiflowError(
            "this model restores pictures, not scans", where=identity.name, remedy="Name a model of bone scans"
        )
    calibration = load_calibration(folder / CALIBRATION, checkpoint_sha256(folder))
    restore = open_restorer(folder, cores)
    return OpenModel(restore, identity, trained_accelerations(folder), calibration, folder, kept)


def parse_model(text: str) -> tuple[str, str]:
    """'scintiflow@champion' -> ('scintiflow', 'champion'). Raises ScintiflowError for anything else."""
    name, separator, alias = text.partition("@")
    if not (name and separator and alias):
        raise ScintiflowError(
            f"'{text}' names no model", where="--model", remedy="Write reference, or NAME@ALIAS: scintiflow@champion"
        )
    return name, alias


def _is_rapid(velocity_mm_s: float, count_ratio: float, model: OpenModel, protocol: Protocol) -> bool:
    if model.accelerations is not None:
        lowest, highest = model.accelerations
        return lowest <= count_ratio <= highest
    return abs(velocity_mm_s / protocol.rapid_velocity_mm_s - 1) <= protocol.velocity_tolerance
