"""How fast is `scintiflow cohort add`? Files per second and peak memory, beside a bare decoding loop.

    python benchmarks/ingest.py --files 2000 [--files 10000] [--kind native] [--workers 2]

The bare loop only parses and decodes each file (`pydicom.dcmread(path).pixel_array`) in one process: no
checks, no hashes, no de-identification, nothing written. The floor is what no add can do without: read each file,
hash it, write as many bytes, wait until they are on the disk. All read the same warm files in the same run. CPU
time is that of all processes, without the start of the first, and says more than the clock on a machine that has
other work to do.
Objects are 2 x 1024 x 256 (clinical size): native; RLE lossless; and as hospitals deliver them, from several
vendors, native and compressed, two views in a file or one. Memory is that of all processes together. Prints a
Markdown table. `--steps` prints another: where the CPU time of a native file goes.
"""

import argparse
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pydicom
from ingesting.exports import CLINICAL, KEY, KINDS, PROTOCOL, write_export
from ingesting.processes import Measured, measured
from ingesting.steps import table
from machine import machine

from scintiflow.cohorts.add import add_cohort
from scintiflow.dicom.opening import read_regular_file

FILES_FOR_STEPS = 160


def bare(export: Path) -> None:
    for path in sorted(export.rglob("*.dcm")):
        pydicom.dcmread(path).pixel_array  # noqa: B018 - decoding is what is timed


def floor(export: Path, copies: Path) -> None:
    copies.mkdir()
    for path in sorted(export.rglob("*.dcm")):
        content = read_regular_file(path)
        (copies / hashlib.sha256(content).hexdigest()).write_bytes(content)
    os.sync()


def product(export: Path, cohorts: Path, files: int, workers: int) -> None:
    report = add_cohort(export, "bench", protocol=PROTOCOL, key=KEY, cohorts=cohorts, workers=workers)
    if report.ledger.outcomes["accepted"] != files:
        raise SystemExit(f"the benchmark is void: {report.ledger.outcomes}")


def rows(files: int, kind: str, workers: int, place: Path | None, matrix: tuple[int, int]) -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir=place) as folder:
        export, cohorts = Path(folder) / "export", Path(folder) / "cohorts"
        export.mkdir()
        files = write_export(export, files, kind, matrix)
        for path in export.rglob("*.dcm"):  # warm the file system's cache
            path.read_bytes()
        loop = measured(bare, export)
        yield row(files, kind, "bare loop, 1 process", loop, loop)
        copies = Path(folder) / "copies"
        yield row(files, kind, "floor: read, SHA-256, write", measured(floor, export, copies), loop)
        shutil.rmtree(copies)
        for name in (f"cohort add, {workers} workers", "the same export again"):
            yield row(files, kind, name, measured(product, export, cohorts, files, workers), loop)
        shutil.rmtree(cohorts)


def row(files: int, kind: str, name: str, work: Measured, loop: Measured) -> str:
    numbers = (
        f"{files / work.seconds:.0f}",
        f"{work.seconds:.1f}",
        f"{work.seconds / loop.seconds:.1f}",
        f"{1000 * work.cpu_seconds / files:.1f}",
        f"{work.cpu_seconds / loop.cpu_seconds:.1f}",
        f"{work.largest_mib:.0f}",
    )
    return f"| {files} | {kind} | {name} | {' | '.join(numbers)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, action="append", help="number of objects; may be given again")
    parser.add_argument("--kind", choices=KINDS, action="append", help="how they are stored; may be given again")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--place", type=Path, help="folder for the files; 1 MiB each, twice")
    parser.add_argument("--matrix", type=int, nargs=2, default=CLINICAL, help="rows and columns; smaller is sooner")
    parser.add_argument("--steps", action="store_true", help="where the time of a native file goes, and no more")
    arguments = parser.parse_args()
    print(machine("pydicom"), "\n", sep="")
    if arguments.steps:
        for line in table(FILES_FOR_STEPS, arguments.place):
            print(line, flush=True)
        return
    print("| files | stored | what | files/s | seconds | x loop | CPU ms per file | x loop | peak MiB |")
    print("|--:|---|---|--:|--:|--:|--:|--:|--:|", flush=True)
    for files in arguments.files or [2000]:
        for kind in arguments.kind or KINDS:
            for line in rows(files, kind, arguments.workers, arguments.place, tuple(arguments.matrix)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
