"""Whether restoring a large folder keeps its memory: MiB of all its processes, by how many scans are done.

    python benchmarks/restore_folder.py                        # 200 scans of 2 x 320 x 192, two processes
    python benchmarks/restore_folder.py --scans 2000 --rows 1024 --columns 256

Scans are simulated, each an object of its own. Memory is the proportional set size (shared pages count once) of this
process and those it starts, read twice a second.
"""

import argparse
import os
import shlex
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from machine import machine
from restore import scan

from scintiflow.dicom.whole_body import WholeBodyHeader, save_object, whole_body_object
from scintiflow.files import whole_file
from scintiflow.params import load_params
from scintiflow.progress import track
from scintiflow.stages.restoring_folders import SUFFIX, Wish, restore_files

ROOT = Path(__file__).parents[1]
SECONDS_BETWEEN_LOOKS = 0.5
QUARTERS = 4
HEADER = WholeBodyHeader(
    patient_id="1", patient_name="Nobody", birth_date="20150304", sex="F", age="009Y", size_m=1.3, weight_kg=28.0,
    study_uid="2.25.1", series_uid="2.25.2", instance_uid="2.25.3", frame_of_reference_uid="2.25.4",
    acquired=datetime(2024, 5, 6), study_description="", series_description="", series_number=1,
    manufacturer="Simulated", model="", institution="", spacing_mm=2.26, velocity_mm_s=6.667, scan_length_mm=723.2,
    frame_duration_ms=108475,
)  # fmt: skip


def main() -> None:
    arguments = parsed()
    with TemporaryDirectory() as place:
        source, out = Path(place) / "scans", Path(place) / "restored"
        make(source, arguments)
        looks: list[tuple[int, float]] = []
        over = threading.Event()
        watcher = threading.Thread(target=watch, args=(out, looks, over))
        watcher.start()
        started = time.perf_counter()
        wish = Wish(load_params(ROOT / "params.yaml").ingest.protocol)
        done = restore_files(source, out, "reference", wish, arguments.workers)
        seconds = time.perf_counter() - started
        over.set()
        watcher.join()
    restored = sum(result.written is not None for result in done)
    table = markdown(looks, restored, seconds, arguments)
    with whole_file(ROOT / "build" / "benchmarks" / "restore_folder.md") as partial:
        partial.write_text(table, encoding="utf-8")
    print(table)


def make(folder: Path, arguments: argparse.Namespace) -> None:
    folder.mkdir()
    counts = scan(arguments.rows, arguments.columns)
    for number in track(range(arguments.scans), "making scans"):
        shifted = np.roll(counts, number, axis=1)  # no two alike
        header = replace(HEADER, instance_uid=f"2.25.{1000 + number}", study_uid=f"2.25.{10**6 + number}")
        save_object(folder / f"{number:05d}.dcm", whole_body_object(shifted, header))


def watch(out: Path, looks: list[tuple[int, float]], over: threading.Event) -> None:
    """Append (scans done, MiB) until it is over."""
    while not over.wait(SECONDS_BETWEEN_LOOKS):
        looks.append((len(list(out.glob(f"*{SUFFIX}"))), sum(map(proportional_mib, family(os.getpid())))))


def family(process: int) -> list[int]:
    """The process and all below it."""
    below = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            below += [int(each) for each in path.read_text().split()]
        except OSError:
            continue
    return [process, *(each for child in below for each in family(child))]


def proportional_mib(process: int) -> float:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def markdown(looks: list[tuple[int, float]], restored: int, seconds: float, arguments: argparse.Namespace) -> str:
    lines = ["| scans done | largest MiB | mean MiB |", "|---|---|---|"]
    for quarter in range(QUARTERS):
        low, high = (round(arguments.scans * part / QUARTERS) for part in (quarter, quarter + 1))
        seen = [mib for count, mib in looks if low <= count < high]
        if seen:
            lines.append(f"| {low} to {high} | {max(seen):.0f} | {sum(seen) / len(seen):.0f} |")
    words = (
        f"{restored} of {arguments.scans} scans of 2 x {arguments.rows} x {arguments.columns} restored in "
        f"{seconds:.0f} s, {arguments.workers} processes. {machine('onnxruntime')}. "
        f"Command: `{shlex.join(['python', *sys.argv])}`"
    )
    return "\n".join([*lines, "", words, ""])


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scans", type=int, default=200)
    parser.add_argument("--rows", type=int, default=320)
    parser.add_argument("--columns", type=int, default=192)
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
