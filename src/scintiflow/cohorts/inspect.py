"""What the product sees in a file: every fact by itself, every warning and every objection with its reason.

Nothing that names a patient is looked up, so nothing of it can be shown.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scintiflow import progress
from scintiflow.cohorts.intake import LONGEST_SECONDS_PER_FILE, walk
from scintiflow.cohorts.wording import shown_path
from scintiflow.cohorts.workers import Lost, supervised
from scintiflow.dicom import header
from scintiflow.dicom.attributes import Attributes
from scintiflow.dicom.opening import open_object, silenced
from scintiflow.dicom.pixels import check_transfer_syntax, decode_frames
from scintiflow.dicom.reading import scan_of
from scintiflow.dicom.reasons import Notice, Reason, Rejection
from scintiflow.dicom.views import find_views, photopeak_frames

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Inspection:
    """`facts`: what is known, in words, by name. `code`: '' if the scan can be used. `objections`: all codes."""

    sha256: str
    facts: dict[str, str]
    warnings: tuple[str, ...]
    code: str
    detail: str
    objections: tuple[str, ...]


def inspect_file(path: Path) -> Inspection:
    """Look at one file; never raises for what is in it."""
    try:
        opened = open_object(path)
    except Rejection as rejection:
        return Inspection("", {}, (), rejection.code, rejection.detail, (rejection.code,))
    warnings: set[str] = set()
    facts, objections = {}, []
    for name, look in FACTS.items():
        try:
            with silenced():
                facts[name] = look(opened.attributes, warnings)
        except Rejection as rejection:
            facts[name] = f"{UNKNOWN} ({rejection.code})"
            objections.append(rejection.code)
        except Exception:  # a malformed value: what it is worth is said by the verdict
            facts[name] = UNKNOWN
    code = detail = ""
    try:
        warnings = {*warnings, *scan_of(opened).warnings}
    except Rejection as rejection:
        code, detail = rejection.code, rejection.detail
        objections.insert(0, code)
    return Inspection(opened.sha256, facts, tuple(sorted(warnings)), code, detail, tuple(dict.fromkeys(objections)))


def inspect_all(target: Path, workers: int) -> list[tuple[Path, Inspection]]:
    """Look at a file or at everything under a folder, in the order of paths."""
    paths = walk(target) if target.is_dir() else [target]
    if not paths:
        return []
    work = supervised(
        inspect_file, paths, workers=min(workers, len(paths)), seconds=LONGEST_SECONDS_PER_FILE, preload=__name__
    )
    with progress.work("looking at files", len(paths)) as bar:
        found = []
        for path, inspection in work:
            bar.advance()
            if isinstance(inspection, Lost):
                code = Reason.CORRUPT.name if inspection is Lost.DIED else Reason.TOO_SLOW.name
                inspection = Inspection("", {}, (), code, "", (code,))
            found.append((path, inspection))
    return sorted(found, key=lambda pair: pair[0])


def as_table(found: list[tuple[Path, Inspection]], show_paths: bool) -> RenderableType:
    """One file: all its facts. Several: one line for each, then what the codes mean."""
    several = len(found) != 1
    if several:
        table = Table("file", *(["path"] if show_paths else []), *FACTS, "verdict", "warnings")
        for path, seen in found:
            shown = [Text(shown_path(path))] if show_paths else []  # never as markup
            facts = [seen.facts.get(name, "") for name in FACTS]
            table.add_row(seen.sha256[:12] or "-", *shown, *facts, _verdict(seen), " ".join(seen.warnings))
    else:
        table = Table("", "", show_header=False)
        path, seen = found[0]
        for name, text in {"SHA-256": seen.sha256 or "-", **seen.facts, "verdict": _verdict(seen)}.items():
            table.add_row(name, text)
    return Group(table, *_explained(seen for _, seen in found))


def _verdict(seen: Inspection) -> str:
    return " ".join(seen.objections) if seen.code else "can be used"


def _explained(all_seen: Iterator[Inspection]) -> Iterator[str]:
    codes: set[str] = set()
    warnings: set[str] = set()
    for seen in all_seen:
        codes.update(seen.objections)
        warnings.update(seen.warnings)
    for code in sorted(codes):
        yield f"{code}: {Reason[code].sentence}. {Reason[code].remedy}."
    for warning in sorted(warnings):
        yield f"{warning}: {Notice[warning].value}."


def _vendor(dataset: Attributes, warnings: set[str]) -> str:
    return header.scanner(dataset)


def _views(dataset: Attributes, warnings: set[str]) -> str:
    all_frames = int(dataset.get("NumberOfFrames") or 1)
    frames = photopeak_frames(dataset, all_frames, warnings)
    return ", ".join(view or UNKNOWN for view in find_views(dataset, frames, all_frames, warnings))


def _velocity(dataset: Attributes, warnings: set[str]) -> str:
    velocity, inferred = header.table_velocity(dataset, warnings)
    source = "inferred from length and duration" if inferred else "read"
    return f"{velocity:.3f} mm/s = {velocity * 6:.1f} cm/min, {source}"


def _counts(dataset: Attributes, warnings: set[str]) -> str:
    check_transfer_syntax(dataset)
    frames = decode_frames(dataset)
    sums = ", ".join(f"{int(frame.sum(dtype=np.int64)):,}" for frame in frames)
    return f"{sums} (largest {int(frames.max())})"


def _matrix(dataset: Attributes, warnings: set[str]) -> str:
    return f"{int(dataset.get('NumberOfFrames') or 1)} x {int(dataset.get('Rows'))} x {int(dataset.get('Columns'))}"


def _spacing(dataset: Attributes, warnings: set[str]) -> str:
    return f"{header.pixel_spacing(dataset):g} mm"


def _age(dataset: Attributes, warnings: set[str]) -> str:
    age = header.age_years(dataset, header.acquired(dataset, warnings), warnings)
    return UNKNOWN if age is None else f"{age:.1f} years"


def _isotope(dataset: Attributes, warnings: set[str]) -> str:
    header.check_radionuclide(dataset)
    return "technetium-99m" if header.names_radionuclide(dataset) else "not named"


FACTS: dict[str, Callable[[Attributes, set[str]], str]] = {
    "vendor": _vendor,
    "views": _views,
    "velocity": _velocity,
    "counts": _counts,
    "matrix": _matrix,
    "spacing": _spacing,
    "age": _age,
    "isotope": _isotope,
}
