"""The cohort's pages: outcomes, reasons with remedies, and a picture of every pair.

Each page is self-contained. The first tells everything but shows only as many pairs as a browser opens at once; each
of the further ones shows as many again.
"""

import base64
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scintiflow.cohorts.ledger import Entry, Ledger
from scintiflow.cohorts.pictures import BLACK_COUNTS, SMALLER
from scintiflow.dicom.pairing import ScanPair, pair_scans
from scintiflow.dicom.reasons import Outcome, Reason
from scintiflow.pages import page_template
from scintiflow.params import Protocol

REPORT = "cohort.html"
PAIRS_PER_PAGE = 200  # of ten to twenty KiB each
MARK = '<meta name="record" content="{}">'  # of the record that a page tells of, by SHA-256

MEANINGS = {
    Outcome.ACCEPTED: "one half of a pair; its de-identified object is in the cohort",
    Outcome.UNPAIRED: "a good scan without its partner; kept, and paired when a later delivery brings the partner",
    Outcome.QUARANTINED: "set aside, not copied; mend it as said below and add the export again",
    Outcome.IGNORED: "no scan, or a copy of one; nothing to mend",
}
TO_MEND_FIRST = [Outcome.QUARANTINED, Outcome.UNPAIRED, Outcome.IGNORED]


@dataclass(frozen=True)
class Page:
    """A page and the numbers of the pairs on it, from one; a cohort without pairs has one page."""

    name: str
    first: int
    last: int


def pages_of(ledger: Ledger) -> list[Page]:
    """The pages of a cohort; the first is REPORT."""
    stem, dot, suffix = REPORT.partition(".")
    return [
        Page(
            f"{stem}-pairs-{number}{dot}{suffix}" if number > 1 else REPORT,
            1 + (number - 1) * PAIRS_PER_PAGE,
            min(number * PAIRS_PER_PAGE, ledger.pairs),
        )
        for number in range(1, 1 + max(1, math.ceil(ledger.pairs / PAIRS_PER_PAGE)))
    ]


def is_page(path: str) -> bool:
    """True for the path, inside a cohort, of one of its pages."""
    stem, _, suffix = REPORT.partition(".")
    return "/" not in path and path.startswith(stem) and path.endswith(f".{suffix}")


def tells_of(page: Path, ledger: Ledger) -> bool:
    """True if `page` was made from this very record."""
    try:
        with page.open(encoding="utf-8") as text:
            return MARK.format(ledger.sha256) in text.read(1024)
    except (OSError, UnicodeDecodeError):
        return False


def render_pages(ledger: Ledger, pictures: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Name and HTML of each page; every cell is escaped, scripts are forbidden, nothing is fetched.

    `pictures` by the SHA-256 of the objects; they are read page by page, so that memory is that of one page.
    """
    record = ledger.to_json()
    pages, pairs = pages_of(ledger), _pairs(ledger)
    objects = {entry.scan.instance_uid: entry for entry in ledger.entries if entry.is_kept and entry.scan}
    common = {"pages": pages, "mark": ledger.sha256, "black": f"{BLACK_COUNTS:g}"}
    for page in pages:
        shown = [_shown(pair, objects, pictures) for pair in pairs[page.first - 1 : page.last]]
        if page.name != REPORT:
            title = f"Cohort {ledger.name}, pairs {page.first} to {page.last}"
            template = page_template("scintiflow.cohorts", "cohort_pairs.html.j2")
            yield page.name, template.render(**common, page=page, pairs=shown, title=title)
            continue
        yield (
            page.name,
            page_template("scintiflow.cohorts", "cohort.html.j2").render(
                **common,
                page=page,
                pairs=shown,
                title=f"Cohort {ledger.name}",
                record=record,
                meanings=MEANINGS,
                reasons=_reasons(record),
                overrulable=[code for code in record["reasons"] if Reason[code].may_be_overruled],
                warnings=_warnings(record),
            ),
        )


def _reasons(record: dict[str, Any]) -> list[tuple[str, str, dict[str, Any], list[dict[str, Any]]]]:
    """(code, outcome, reason, files): what needs somebody's work first, then what concerns most files."""
    of_code = defaultdict(list)
    for file in record["files"]:
        of_code[file["code"]].append(file)
    return sorted(
        ((code, Reason[code].outcome.value, reason, of_code[code]) for code, reason in record["reasons"].items()),
        key=lambda found: (TO_MEND_FIRST.index(Reason[found[0]].outcome), -found[2]["files"], found[0]),
    )


def _warnings(record: dict[str, Any]) -> list[tuple[str, int, str]]:
    """(code, files, sentence), the most frequent first."""
    counted = Counter(warning for file in record["files"] for warning in file["warnings"])
    return sorted(
        ((code, counted[code], sentence) for code, sentence in record["warnings"].items()),
        key=lambda found: (-found[1], found[0]),
    )


def _pairs(ledger: Ledger) -> tuple[ScanPair, ...]:
    scans = {entry.scan for entry in ledger.entries if entry.outcome == Outcome.ACCEPTED and entry.scan}
    return pair_scans(scans, Protocol.model_validate(ledger.protocol), ledger.overruled_scans).pairs


def _shown(pair: ScanPair, objects: Mapping[str, Entry], pictures: Mapping[str, Path]) -> dict[str, Any]:
    """What a page says of a pair."""
    scans = {}
    for name, scan in (("rapid", pair.rapid), ("standard", pair.standard)):
        picture = pictures.get(objects[scan.instance_uid].object_sha256)
        views, rows, columns = scan.shape
        scans[name] = {
            "name": name,
            "jpeg": base64.b64encode(picture.read_bytes()).decode() if picture else "",
            "width": views * (columns // SMALLER),
            "height": rows // SMALLER,
        }
    return {
        **scans,
        "patient": pair.rapid.patient,
        "age": "age unknown" if pair.rapid.age_years is None else f"{pair.rapid.age_years:.1f} years",
        "ratio": f"{pair.count_ratio:.3f}",
    }
