"""Restoring files, folders and cohorts: every file ends as restored, refused or failed, and none stops the others.

Folders are spread over processes of one thread each that may die, hang or run out of memory without harm to the rest
(`cohorts.workers`); each holds one scan at a time, so memory is bounded by the number of processes. Results are the
same for any number of them.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from scintiflow.cohorts.ledger import LEDGER, read_ledger
from scintiflow.cohorts.workers import Lost, supervised
from scintiflow.dicom.derived import ModelIdentity
from scintiflow.dicom.header import CM_MIN_PER_MM_S
from scintiflow.dicom.reasons import Reason, Rejection
from scintiflow.dicom.whole_body import object_bytes
from scintiflow.drift.store import Journal
from scintiflow.errors import ScintiflowError
from scintiflow.files import whole_file
from scintiflow.params import Protocol
from scintiflow.progress import work
from scintiflow.stages.restoring import (
    OpenModel,
    RestoredScan,
    is_velocity_stated,
    open_folder,
    open_model,
    restore_object,
)

SUFFIX, PREVIEW_SUFFIX = ".restored.dcm", ".restored.png"
STATE_IT = "If you know how fast the table moved, say --velocity-cm-min"
EXISTS = "EXISTS: The output is there already and differs. Move it away, or say --overwrite"
LONGEST_SECONDS_PER_FILE = 120.0  # of a processor
DONE, NOTHING_RESTORED, CONTRADICTED, FAILED = 0, 1, 3, 4  # exit codes; 2 is a mistake in what was asked for


@dataclass(frozen=True)
class Wish:
    """How scans are restored; see `restoring.restore_object` and `scintiflow restore --help`.

    `stated_velocity_mm_s` is the table's for scans whose header gives none. `watch` is the folder of
    `drift.store.Journal`, which gets a line for each scan that was not restored before.
    """

    protocol: Protocol
    any_velocity: bool = False
    preview: bool = False
    overwrite: bool = False
    watch: Path | None = None
    stated_velocity_mm_s: float | None = None


@dataclass(frozen=True)
class RestoredFile:
    """What became of one file: `written`, `refused` with the reason in words, or `failed` likewise.

    `objections`: why the written image must not be believed; `judged`: whether anybody could tell; `unchanged`: the
    same output was there before; `stated`: at a velocity that a person stated.
    """

    source: Path
    written: Path | None = None
    refused: str = ""
    failed: str = ""
    objections: tuple[str, ...] = ()
    judged: bool = True
    unchanged: bool = False
    stated: bool = False


def scan_files(source: Path, out: Path) -> list[Path]:
    """The file itself, a cohort's kept objects, or every regular file below a folder, in the order of their paths.

    What lies below `out` is left alone. Raises ScintiflowError if there is nothing of that name.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ScintiflowError("no such file or folder", where=source, remedy="Name a DICOM file or a folder of them")
    if (source / LEDGER).is_file():
        kept = {source / entry.path for entry in read_ledger(source).entries if entry.is_kept and entry.path}
        return sorted(kept)
    below, target = source.resolve(), out.resolve()
    inside = target != below and target.is_relative_to(below)
    return sorted(
        path
        for path in source.rglob("*")
        if path.is_file() and not path.is_symlink() and not (inside and path.resolve().is_relative_to(target))
    )


def targets(files: Iterable[Path], source: Path, out: Path) -> list[tuple[Path, Path]]:
    """Each file with the path of its output below `out`; two files never share one."""
    taken: set[Path] = set()
    found = []
    for path in files:
        relative = Path(path.name) if path == source else path.relative_to(source)
        stem = relative.name[:-4] if relative.name.lower().endswith(".dcm") else relative.name
        target = relative.with_name(stem + SUFFIX)
        if target in taken:
            target = relative.with_name(relative.name + SUFFIX)
        taken.add(target)
        found.append((path, out / target))
    return found


def restore_files(source: Path, out: Path, model: str, wish: Wish, workers: int | None = None) -> list[RestoredFile]:
    """Restore a file, a folder or a cohort; what became of each file, in the order of their paths.

    Args:
        model: see `restoring.open_model`.
        workers: processes for a folder; one for each core by default.

    Equal inputs give equal bytes. An output that is there and differs is left alone unless `wish.overwrite`.
    """
    jobs = targets(scan_files(source, out), source, out)
    cores = workers or os.cpu_count() or 1
    opened = open_model(model, cores)
    results: dict[Path, RestoredFile] = {}
    with work("restoring", len(jobs)) as bar:
        for path, result in _restored(jobs, opened, wish, min(cores, len(jobs))):
            results[path] = result
            bar.advance()
    return [results[path] for path, _ in jobs]


def exit_code(results: list[RestoredFile]) -> int:
    """What a script must know: see docs/how-to/restore-a-scan.md."""
    if any(result.failed for result in results):
        return FAILED
    if any(result.objections for result in results):
        return CONTRADICTED
    return DONE if any(result.written for result in results) else NOTHING_RESTORED


def restoring_lines(results: list[RestoredFile], show_paths: bool) -> Iterator[str]:
    """How many were restored, and why the others were not; paths only if wanted, they may name patients."""
    from scintiflow.cohorts.wording import shown_path

    written = [result for result in results if result.written]
    unchanged = sum(result.unchanged for result in written)
    yield f"{len(written)} restored" + (f", {unchanged} of them unchanged from before" if unchanged else "")
    if stated := sum(result.stated for result in written):
        yield f"{stated} of them at the velocity that you stated: their headers give none, and the outputs say so."
    if not all(result.judged for result in written):
        yield "This model has no calibration: whether its images agree with the measured counts was not judged."
    by_reason: dict[str, list[RestoredFile]] = {}
    for result in results:
        marked = f"MARKED, the measured counts contradict the image: {'; '.join(result.objections)}"
        words = marked if result.objections else result.failed and f"failed: {result.failed}"
        words = words or (result.refused and f"refused: {result.refused}")
        if words:
            by_reason.setdefault(words, []).append(result)
    for words, those in sorted(by_reason.items()):
        yield f"{len(those)} {words}."
        if show_paths:
            yield from (f"  {shown_path(result.source)}" for result in those)


def _restored(
    jobs: list[tuple[Path, Path]], model: OpenModel, wish: Wish, workers: int
) -> Iterator[tuple[Path, RestoredFile]]:
    if workers < 2 or model.folder is None:
        for job in jobs:
            yield job[0], _restore_one(model, wish, job)
        return
    task = partial(_in_worker, model.folder, model.identity, wish)
    for (path, _), result in supervised(
        task, jobs, workers=workers, seconds=LONGEST_SECONDS_PER_FILE, preload=__name__
    ):
        yield path, RestoredFile(path, failed=result.value) if isinstance(result, Lost) else result


def _in_worker(folder: Path, identity: ModelIdentity, wish: Wish, job: tuple[Path, Path]) -> RestoredFile:
    return _restore_one(_opened(folder, identity), wish, job)


@cache
def _opened(folder: Path, identity: ModelIdentity) -> OpenModel:
    """Once in each process."""
    return open_folder(folder, identity)


def _restore_one(model: OpenModel, wish: Wish, job: tuple[Path, Path]) -> RestoredFile:
    path, target = job
    try:
        restored = restore_object(path, model, wish.protocol, wish.any_velocity, wish.stated_velocity_mm_s)
        return _write(restored, path, target, model, wish)
    except Rejection as rejection:
        reason = rejection.reason
        if reason is Reason.VELOCITY_OUT_OF_PROTOCOL:
            return RestoredFile(path, refused=f"{rejection.code}: {_velocity_words(model, wish)}")
        if reason is Reason.VELOCITY_UNKNOWN:
            return RestoredFile(path, refused=f"{rejection.code}: {reason.sentence}. {STATE_IT}")
        return RestoredFile(path, refused=f"{rejection.code}: {reason.sentence}. {reason.remedy}")
    except OSError as error:
        return RestoredFile(path, failed=f"the output cannot be written ({error.strerror})")
    except Exception as error:  # one bad file must not stop a folder; the type holds no identity
        return RestoredFile(path, failed=f"the program could not restore it ({type(error).__name__})")


def _velocity_words(model: OpenModel, wish: Wish) -> str:
    standard = wish.protocol.standard_velocity_mm_s
    if wish.any_velocity:
        cm_min = f"{standard * CM_MIN_PER_MM_S:.0f} cm/min"
        return f"The scan is no faster than the standard one ({cm_min}): there is nothing to gain"
    if model.accelerations is None:
        known = f"{wish.protocol.rapid_velocity_mm_s * CM_MIN_PER_MM_S:.0f} cm/min"
    else:
        known = " to ".join(f"{k * standard * CM_MIN_PER_MM_S:.0f}" for k in model.accelerations) + " cm/min"
    return (
        f"The scan's velocity is not one that the model was trained for ({known}). "
        "A standard scan needs no restoration; say --any-velocity for a faster one"
    )


def _write(restored: RestoredScan, path: Path, target: Path, model: OpenModel, wish: Wish) -> RestoredFile:
    content = object_bytes(restored.dataset)
    unchanged = False
    if target.exists():
        unchanged = target.is_file() and target.read_bytes() == content
        if not unchanged and not wish.overwrite:
            return RestoredFile(path, failed=EXISTS)
    if not unchanged:
        with whole_file(target) as partial_file:
            partial_file.write_bytes(content)
        if wish.watch is not None:
            Journal(wish.watch).add(restored.scan, restored.counts, restored.count_ratio, model.identity)
    if wish.preview:
        from scintiflow.evaluation.preview import draw_preview  # matplotlib takes a second to start

        marked = bool(restored.objections)
        draw_preview(restored.scan, restored.counts, restored.count_ratio, _beside(target), marked)
    judged = model.calibration is not None
    return RestoredFile(
        path,
        target,
        objections=restored.objections,
        judged=judged,
        unchanged=unchanged,
        stated=is_velocity_stated(restored.scan),
    )


def _beside(target: Path) -> Path:
    return target.with_name(target.name.removesuffix(SUFFIX) + PREVIEW_SUFFIX)
