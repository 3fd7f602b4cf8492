"""How fast is `scintiflow cohort add`? Files per second and peak memory, beside a bare decoding loop.

    python benchmarks/ingest.py --files 2000 [--files 10000] [--workers 2]

The bare loop only parses and decodes each file (`pydicom.dcmread(path).pixel_array`) in one process: no
checks, no hashes, no de-identification, nothing written. Both read the same warm files in the same run. CPU time
is that of all processes with their start, and says more than the clock on a machine that has other work to do.
Objects are 2 x 1024 x 256 (clinical size), stored natively and as RLE lossless. Memory is that of all
processes together. Prints a Markdown table.
"""

import argparse
import multiprocessing
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import RLELossless

from scintiflow.cohorts.add import add_cohort
from scintiflow.dicom.identity import IdentityKey
from scintiflow.dicom.whole_body import WholeBodyHeader, object_bytes, whole_body_object
from scintiflow.params import Protocol

RESULT = "SCINTIFLOW_BENCHMARK_RESULT"
SECONDS_BETWEEN_LOOKS = 0.2
SHAPE = (2, 1024, 256)
KEY = IdentityKey(bytes(range(32)))
PROTOCOL = Protocol(
    standard_velocity_mm_s=3.333,
    rapid_velocity_mm_s=6.667,
    velocity_tolerance=0.1,
    youngest_years=0.0,
    oldest_years=18.0,
    pair_within_hours=6.0,
    smallest_counts_per_view=20000,
)
HEADER = WholeBodyHeader(
    patient_id="",
    patient_name="Bench^Mark",
    birth_date="20150304",
    sex="F",
    age="009Y",
    size_m=1.31,
    weight_kg=28.5,
    study_uid="",
    series_uid="",
    instance_uid="",
    frame_of_reference_uid="",
    acquired=datetime(2024, 5, 6, 10, 11, 12),
    study_description="Bone scan",
    series_description="WB BONE",
    series_number=1,
    manufacturer="Simulated",
    model="Phantom",
    institution="Benchmark",
    spacing_mm=2.26,
    velocity_mm_s=3.333,
    scan_length_mm=2314.0,
    frame_duration_ms=694_270,
)


def write_export(folder: Path, files: int, compressed: bool) -> None:
    """`files` objects: pairs of children, every count drawn, so that no two files are alike."""
    draw = np.random.default_rng(1)
    body = 3.0 * np.exp(-(((np.indices(SHAPE[1:])[1] - SHAPE[2] / 2) / (SHAPE[2] * 0.3)) ** 4))
    for number in range(files):
        child, rapid = divmod(number, 2)
        root = f"1.2.826.0.1.3680043.8.{child + 1}"
        header = replace(
            HEADER,
            patient_id=f"MRN{child:06d}",
            study_uid=f"{root}.1",
            series_uid=f"{root}.2.{rapid}",
            instance_uid=f"{root}.3.{rapid}",
            frame_of_reference_uid=f"{root}.4",
            acquired=HEADER.acquired + timedelta(minutes=15 * rapid),
            velocity_mm_s=3.333 * (1 + rapid),
            frame_duration_ms=694_270 // (1 + rapid),
        )
        counts = draw.poisson(np.broadcast_to(body / (1 + rapid), SHAPE)).astype(np.uint16)
        dataset = whole_body_object(counts, header)
        if compressed:
            dataset.compress(RLELossless, generate_instance_uid=False)
        target = folder / f"{child:06d}" / f"{rapid}.dcm"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(object_bytes(dataset))


def bare(export: Path) -> None:
    for path in sorted(export.rglob("*.dcm")):
        pydicom.dcmread(path).pixel_array  # noqa: B018 - decoding is what is timed


def product(export: Path, cohorts: Path, files: int, workers: int) -> None:
    report = add_cohort(export, "bench", protocol=PROTOCOL, key=KEY, cohorts=cohorts, workers=workers)
    if report.ledger.outcomes["accepted"] != files:
        raise SystemExit(f"the benchmark is void: {report.ledger.outcomes}")


def measured(work: Callable, *arguments: object) -> tuple[float, float, float]:
    """Wall seconds of `work` in a process of its own; peak MiB and CPU seconds of it and all its descendants."""
    process = multiprocessing.get_context("spawn").Process(target=_timed, args=(work, arguments))
    with tempfile.NamedTemporaryFile() as result:
        os.environ[RESULT] = result.name
        process.start()
        largest, spent = 0.0, {process.pid or 0: 0.0}
        while process.is_alive():
            family = _family(process.pid or 0)
            largest = max(largest, sum(_memory_mib(pid) for pid in family))
            spent.update((pid, seconds) for pid in family if (seconds := _cpu_seconds(pid)))
            process.join(SECONDS_BETWEEN_LOOKS)
        return float(Path(result.name).read_text()), largest, sum(spent.values())


def _timed(work: Callable, arguments: tuple) -> None:
    began = time.perf_counter()
    work(*arguments)
    Path(os.environ[RESULT]).write_text(str(time.perf_counter() - began))


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(member for child in children for member in _family(int(child)))]


def _cpu_seconds(pid: int) -> float:
    """Of the user and the system, since the process began."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mib(pid: int) -> float:
    """Proportional set size: memory that processes share counts once."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def rows(files: int, compressed: bool, workers: int, place: Path | None) -> list[str]:
    with tempfile.TemporaryDirectory(dir=place) as folder:
        export, cohorts = Path(folder) / "export", Path(folder) / "cohorts"
        export.mkdir()
        write_export(export, files, compressed)
        for path in export.rglob("*.dcm"):  # warm the file system's cache
            path.read_bytes()
        results = {"bare loop, 1 process": measured(bare, export)}
        results[f"cohort add, {workers} workers"] = measured(product, export, cohorts, files, workers)
        results["the same again"] = measured(product, export, cohorts, files, workers)
        shutil.rmtree(cohorts)
    kind = "RLE lossless" if compressed else "native"
    return [
        f"| {files} | {kind} | {name} | {files / seconds:.0f} | {seconds:.1f} | {cpu_ms:.1f} | {largest:.0f} |"
        for name, (seconds, largest, spent) in results.items()
        for cpu_ms in [1000 * spent / files]
    ]


def machine() -> str:
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    name = names[0] if names else platform.machine()
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB, load {load:.1f} at the start"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, action="append", help="number of objects; may be given again")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--place", type=Path, help="folder for the files; 1 MiB each, twice")
    arguments = parser.parse_args()
    print(f"{machine()}; Python {platform.python_version()}, pydicom {pydicom.__version__}\n")
    print("| files | stored | what | files/s | seconds | CPU ms per file | peak MiB |")
    print("|--:|---|---|--:|--:|--:|--:|")
    for files in arguments.files or [2000]:
        for compressed in (False, True):
            print("\n".join(rows(files, compressed, arguments.workers, arguments.place)), flush=True)


if __name__ == "__main__":
    main()
