"""Work for several processes: results in order, a dead process as a readable error."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from scintiflow.errors import ScintiflowError

T = TypeVar("T")
R = TypeVar("R")


def in_processes(function: Callable[[T], R], items: Iterable[T], workers: int, where: str) -> Iterator[R]:
    """`function` of each item, in the order of the items, by at most `workers` processes; with one, by this one.

    Processes are spawned: a fork would copy locks that other threads hold. `function` and items travel by pickle.
    What was not begun when the caller stops asking is never done.

    Raises:
        ScintiflowError: a process died, most likely for want of memory; `where` names the work.
    """
    items = list(items)
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(function, items)
        return
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield from pool.map(function, items)
    except BrokenProcessPool:
        raise ScintiflowError(
            "a process that did part of the work died",
            where=where,
            remedy="Give the machine more memory, or use fewer workers",
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
