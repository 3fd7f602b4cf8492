"""Restoring scans with a model: rapid NM objects in, derived NM objects out.

Not a stage of the pipeline: this is what a trained model is for. f^IR1 alone runs; SAM and masks are not needed.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scintiflow.cohorts.wording import shown_path
from scintiflow.dicom.derived import ModelIdentity, restored_object
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.reasons import Reason, Rejection
from scintiflow.dicom.whole_body import save_object
from scintiflow.errors import ScintiflowError
from scintiflow.modality import BONE_SCAN
from scintiflow.params import Protocol
from scintiflow.registry.models import load_by_alias
from scintiflow.restoration.restorer import (
    REFERENCE,
    REFERENCE_FOLDER,
    checkpoint_sha256,
    load_restorer,
    trained_accelerations,
)

SHORT_HASH = 12


@dataclass(frozen=True)
class OpenModel:
    """A model ready for use.

    Attributes:
        restore: (rapid counts `[view, row, column]`, k) -> estimated standard counts.
        accelerations: lowest and highest k it may be asked for; None: the protocol's rapid scans and no others.
    """

    restore: Callable[[np.ndarray, float], np.ndarray]
    identity: ModelIdentity
    accelerations: tuple[float, float] | None


@dataclass(frozen=True)
class RestoredFile:
    """What became of one file: `written`, or `refused` with the reason in words."""

    source: Path
    written: Path | None
    refused: str


def parse_model(text: str) -> tuple[str, str]:
    """'scintiflow@champion' -> ('scintiflow', 'champion'). Raises ScintiflowError for anything else."""
    name, separator, alias = text.partition("@")
    if not (name and separator and alias):
        raise ScintiflowError(
            f"'{text}' names no model", where="--model", remedy="Write reference, or NAME@ALIAS: scintiflow@champion"
        )
    return name, alias


def open_model(text: str) -> OpenModel:
    """The model that the text names: 'reference', or NAME@ALIAS in the registry.

    Raises ScintiflowError if there is no such model.
    """
    if text == REFERENCE:
        sha256 = checkpoint_sha256(REFERENCE_FOLDER)
        identity = ModelIdentity("scintiflow-reference", sha256[:SHORT_HASH], sha256)
        return OpenModel(load_restorer(REFERENCE_FOLDER), identity, trained_accelerations(REFERENCE_FOLDER))
    restore, found = load_by_alias(*parse_model(text))
    if found.modality != BONE_SCAN.name:
        raise ScintiflowError(
            f"'{text}' restores pictures, not scans", where="--model", remedy="Name a model of bone scans"
        )
    return OpenModel(restore, ModelIdentity(found.name, found.version, found.checkpoint_sha256), None)


def scan_files(source: Path) -> list[Path]:
    """The file itself, or every regular file below a folder in the order of their paths."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ScintiflowError("no such file or folder", where=source, remedy="Name a DICOM file or a folder of them")
    return sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())


def restore_files(
    files: Iterable[Path], root: Path, out: Path, model: str, protocol: Protocol
) -> Iterator[RestoredFile]:
    """Restore rapid scans one by one; yields what became of each, in the order given.

    Args:
        root: folder (or the file) that was asked for; paths below it are kept below `out`.
        model: see `open_model`.
        protocol: k, the expected count ratio, is a scan's velocity over the standard one. A scan is rapid if its
            velocity is `rapid_velocity_mm_s` within the tolerance, or if k is among the model's accelerations.

    Equal inputs give equal bytes. A file that is no rapid whole-body scan is refused and changes nothing.
    """
    opened = open_model(model)
    for path in files:
        relative = Path(path.name) if path == root else path.relative_to(root)
        target = (out / relative).with_suffix(".restored.dcm")
        try:
            written = _restore_file(path, target, opened, protocol)
        except Rejection as rejection:
            reason = Reason[rejection.code]
            yield RestoredFile(path, None, f"{rejection.code}: {reason.sentence}. {reason.remedy}")
        else:
            yield RestoredFile(path, written, "")


def restoring_lines(results: list[RestoredFile], show_paths: bool) -> Iterator[str]:
    """How many were restored, and why the others were not; paths only if wanted, they may name patients."""
    by_reason: dict[str, list[RestoredFile]] = {}
    for result in results:
        if result.refused:
            by_reason.setdefault(result.refused, []).append(result)
    yield f"{len(results) - sum(map(len, by_reason.values()))} restored"
    for reason, refused in sorted(by_reason.items()):
        yield f"{len(refused)} refused: {reason}."
        if show_paths:
            yield from (f"  {shown_path(result.source)}" for result in refused)


def _restore_file(path: Path, target: Path, model: OpenModel, protocol: Protocol) -> Path:
    scan = read_scan(path)
    count_ratio = scan.velocity_mm_s / protocol.standard_velocity_mm_s
    if not _is_rapid(scan.velocity_mm_s, count_ratio, model, protocol):
        raise Rejection(Reason.VELOCITY_OUT_OF_PROTOCOL, f"{scan.velocity_mm_s:.3f} mm/s")
    derivation = (
        f"Restored from a rapid scan to the counts of a standard scan, k = {count_ratio:.3f}. Processed image"
    )
    save_object(target, restored_object(path, model.restore(scan.counts, count_ratio), model.identity, derivation))
    return target


def _is_rapid(velocity_mm_s: float, count_ratio: float, model: OpenModel, protocol: Protocol) -> bool:
    if model.accelerations is not None:
        lowest, highest = model.accelerations
        return lowest <= count_ratio <= highest
    return abs(velocity_mm_s / protocol.rapid_velocity_mm_s - 1) <= protocol.velocity_tolerance
