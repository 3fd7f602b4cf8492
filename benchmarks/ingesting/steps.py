"""Where the CPU time of a native file goes: each step by itself, beside the bare loop, in one process."""

import hashlib
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom

from ingesting.exports import KEY, write_export
from scintiflow.cohorts.intake import Job, take_in
from scintiflow.cohorts.pictures import save_picture
from scintiflow.dicom.deidentification import deidentified_file
from scintiflow.dicom.leaks import refuse_identifiers
from scintiflow.dicom.opening import Opened, parse, read_regular_file, silenced
from scintiflow.dicom.reading import scan_of

READING, PARSING = "reading the file", "parsing the source (pydicom), depth and cuts"
HASHING, WRITING = "three SHA-256: file, object, counts", "writing the object"
FLOOR = READING, PARSING, HASHING, WRITING
ROUNDS = 3  # the first warms up and does not count


def table(files: int, place: Path | None) -> Iterator[str]:
    """Lines of a Markdown table: median CPU milliseconds over `files` files."""
    spent: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def step(name: str) -> Iterator[None]:
        began = time.process_time()
        yield
        spent[name].append(1000 * (time.process_time() - began))

    with tempfile.TemporaryDirectory(dir=place) as folder:
        export, staging = Path(folder) / "export", Path(folder) / "staging"
        export.mkdir()
        staging.mkdir()
        write_export(export, files, "native")
        for number in range(ROUNDS):
            for turn, path in enumerate(sorted(export.rglob("*.dcm"))):
                with step("bare loop"):
                    pydicom.dcmread(path).pixel_array  # noqa: B018 - decoding is what is timed
                if turn % 2:  # each file once: what has been read before is remembered
                    with step("cohort add, all steps of one file"):
                        staged = take_in(Job(path), KEY, staging).staged
                    (staged or path).unlink()
                else:
                    _one_by_one(path, staging / "object.dcm", step)
                    (staging / "object.dcm").unlink()
            if number == 0:
                spent.clear()
    medians = {name: statistics.median(times) for name, times in spent.items()}
    medians["floor: reading, parsing once, three SHA-256, writing"] = sum(medians[name] for name in FLOOR)
    medians = dict(sorted(medians.items(), key=lambda named: -named[1]))
    yield "| step | CPU ms per file | x loop |"
    yield "|---|--:|--:|"
    for name, median in medians.items():
        yield f"| {name} | {median:.2f} | {median / medians['bare loop']:.2f} |"


def _one_by_one(path: Path, target: Path, step) -> None:
    """What `take_in` does, in its order."""
    with step(READING):
        content = read_regular_file(path)
    with silenced():
        sha256 = hashlib.sha256(content).hexdigest()
        with step(PARSING):
            opened = Opened(parse(content), sha256)
        with step("checks of the source's header and pixels"):
            scan = scan_of(opened)
        with step("de-identified object: allow-list, dicom-anonymizer, encoding, byte scan"):
            written = deidentified_file(opened, scan, KEY)
        with step("of that, the byte scan, once more"):
            refuse_identifiers(opened.attributes, written.header)
        with step("parsing what is to be written"):
            again = Opened(parse(written.header, written.pixels), "")
        with step("checks of what is to be written, comparison of all counts"):
            readable = scan_of(again)
            if not np.array_equal(readable.counts, scan.counts):
                raise SystemExit("the benchmark is void: counts changed")
    with step(HASHING):
        hashlib.sha256(content).hexdigest()
        written.sha256()
        readable.summary()
    with step(WRITING):
        written.write(target)
    with step("drawing the picture"):
        save_picture(target, readable)
