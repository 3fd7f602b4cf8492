"""Wall time, CPU time and memory of work in a process of its own, with all its descendants."""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

RESULT = "SCINTIFLOW_BENCHMARK_RESULT"
SECONDS_BETWEEN_LOOKS = 0.1


@dataclass(frozen=True)
class Measured:
    """`seconds` by the clock and `cpu_seconds` of all processes, without the start of the first; `largest_mib`."""

    seconds: float
    cpu_seconds: float
    largest_mib: float


def measured(work: Callable, *arguments: object) -> Measured:
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
        if process.exitcode != 0:
            raise SystemExit("the benchmark is void: the work has failed")
        seconds, of_start = map(float, Path(result.name).read_text().split())
        return Measured(seconds, sum(spent.values()) - of_start, largest)


def _timed(work: Callable, arguments: tuple) -> None:
    began, of_start = time.perf_counter(), time.process_time()
    work(*arguments)
    Path(os.environ[RESULT]).write_text(f"{time.perf_counter() - began} {of_start}")


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
