"""How f^IR1's ONNX graph is best run on a CPU: memory and threads of onnxruntime, side by side, bits compared.

    python benchmarks/session.py
    taskset -c 0 python benchmarks/session.py --rounds 5      # the same on one core

Each setting lives in a process of its own, so that memory is its own, and all take turns on one two-view scan.

- memory: `malloc` asks the system for each tensor; `arena` keeps what it once had; `given back` does so after a run;
- views: restored one after the other, or side by side, one thread each;
- threads: of onnxruntime, within one view.
"""

import argparse
import os
import resource
import shlex
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime
from machine import machine
from restore import AGAIN, K, scan, timed

from scintiflow.counts import counts_sha256
from scintiflow.dataset.opposite import opposite_views
from scintiflow.files import whole_file
from scintiflow.restoration.model_folder import GRAPH, REFERENCE_FOLDER

SETTINGS = [  # memory, views at once, threads within a view
    ("malloc", 2, 1),
    ("arena", 2, 1),
    ("given back", 2, 1),
    ("given back", 1, 1),
    ("given back", 1, 2),
]
PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    arguments = parsed()
    rapid = scan(arguments.rows, arguments.columns)
    context = get_context("spawn")
    links: list[Connection] = []
    for setting in SETTINGS:
        link, there = context.Pipe()
        context.Process(target=serve, args=(rapid, *setting, there), daemon=True).start()
        link.recv()
        links.append(link)
    answers: list[list[dict]] = [[] for _ in SETTINGS]
    for _ in range(arguments.rounds):
        for link, own in zip(links, answers, strict=True):
            link.send(AGAIN)
            own.append(link.recv())
    for link in links:
        link.send("enough")
    table = markdown(answers, arguments)
    with whole_file(REFERENCE_FOLDER.parent / "build" / "benchmarks" / "session.md") as partial:
        partial.write_text(table, encoding="utf-8")
    print(table)


def serve(rapid: np.ndarray, memory: str, views: int, threads: int, link: Connection) -> None:
    """In a process of its own: load, restore once to warm up, then restore when asked."""
    restore = restorer(rapid, memory, views, threads)
    restore()
    link.send("ready")
    while link.recv() == AGAIN:
        restored, (clock, processor) = timed(restore)
        link.send(
            {
                "clock": clock,
                "processor": processor,
                "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "rest": resident_mib(),
                "bits": counts_sha256(restored.view(np.uint16)),
            }
        )


def restorer(rapid: np.ndarray, memory: str, views: int, threads: int) -> Callable[[], np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.use_deterministic_compute = True
    options.enable_cpu_mem_arena = memory != "malloc"
    session = onnxruntime.InferenceSession(REFERENCE_FOLDER / GRAPH, options, providers=["CPUExecutionProvider"])
    run = onnxruntime.RunOptions()
    if memory == "given back":
        run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def one_view(counts: np.ndarray, opposite: np.ndarray) -> np.ndarray:
        feed = {"counts": counts[None, None].astype(np.float32), "k": np.array([K], np.float32)}
        return session.run(["restored"], feed | {"opposite": opposite[None].astype(np.float32)}, run)[0][0, 0]

    def restore() -> np.ndarray:
        with ThreadPoolExecutor(views) as pool:
            return np.stack(list(pool.map(one_view, rapid, opposite_views(rapid))))

    return restore


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE / 2**20


def markdown(answers: list[list[dict]], arguments: argparse.Namespace) -> str:
    lines = [
        "| memory | views at once | threads each | s, processor | s, clock | peak MiB | MiB at rest | same bits |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (memory, views, threads), own in zip(SETTINGS, answers, strict=True):
        clock, processor = (median(row[name] for row in own) for name in ("clock", "processor"))
        same = {row["bits"] for row in own} == {answers[0][0]["bits"]}
        lines.append(
            f"| {memory} | {views} | {threads} | {processor:.2f} | {clock:.2f} | {own[-1]['peak']:.0f} "
            f"| {own[-1]['rest']:.0f} | {'yes' if same else 'no'} |"
        )
    words = (
        f"One scan of 2 x {arguments.rows} x {arguments.columns}, medians of {arguments.rounds} rounds, on "
        f"{len(os.sched_getaffinity(0))} cores. {machine('onnxruntime')}. "
        f"Command: `{shlex.join(['python', *sys.argv])}`"
    )
    return "\n".join([*lines, "", words, ""])


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--columns", type=int, default=256)
    return parser.parse_args()


if __name__ == "__main__":
    main()
