"""Work of ingestion for several processes, with its progress."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from scintiflow import progress

PRELOADED = "scintiflow.dataset.packing"  # imported once, for all processes
T = TypeVar("T")
R = TypeVar("R")


def mapped(function: Callable[[T], R], items: list[T], workers: int, label: str) -> Iterator[R]:
    """`function` of each item, in order, over `workers` processes, showing progress."""
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(function, progress.track(items, label))
        return
    context = get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    with ProcessPoolExecutor(workers, mp_context=context) as pool, progress.work(label, len(items)) as bar:
        for result in pool.map(function, items):
            bar.advance()
            yield result
