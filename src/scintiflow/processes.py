"""Work for several processes: results in order, memory bounded, a dead process as a readable error.

For input that may kill a process or hang in it there is `cohorts.workers`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

from scintiflow.errors import ScintiflowError

AHEAD = 4  # items for each process that are begun, or done and not yet asked for: results may be large
T = TypeVar("T")
R = TypeVar("R")


def in_processes(
    function: Callable[[T], R], items: Iterable[T], workers: int, where: str, *, preload: str
) -> Iterator[R]:
    """`function` of each item, in the order of the items, by at most `workers` processes; with one, by this one.

    Processes come from a server that is no fork of this process: that would copy locks which other threads hold.
    The server imports the module `preload` once for all of them; the first call of a program decides which.
    `function` and items travel by pickle. What was not begun when the caller stops asking is never done.

    Raises:
        ScintiflowError: a process died, most likely for want of memory; `where` names the work.
    """
    items = list(items)
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(function, items)
        return
    context = get_context("forkserver")
    context.set_forkserver_preload(["__main__", preload])
    pool, waiting = ProcessPoolExecutor(workers, mp_context=context), iter(items)
    running: deque[Future[R]] = deque()
    try:
        while True:
            running.extend(pool.submit(function, item) for item in islice(waiting, AHEAD * workers - len(running)))
            if not running:
                return
            yield running.popleft().result()
    except BrokenProcessPool:
        raise ScintiflowError(
            "a process that did part of the work died",
            where=where,
            remedy="Give the machine more memory, or use fewer workers",
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
