"""Work on untrusted files in processes that may die, hang or run out of memory without harm to the rest.

Each process works on one file at a time and the parent knows on which, so a lost process costs its own
file and nothing else. `concurrent.futures` cannot do that: one death breaks its whole pool. It holds the
next file already, so that it need not wait while the parent is busy.
"""

import ctypes
import resource
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property, partial
from itertools import islice
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

import psutil

LARGEST_PROCESS_BYTES = 2 * 2**30
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of mallopt(3)
KEPT_BYTES = 32 * 2**20  # larger blocks go back to the system at once
HELD = 2  # items in a process: the one it works on and the next
FEWEST_PER_WORKER = 10  # less work is done sooner than a process has started
START_SECONDS = 120.0  # for importing everything on a busy machine
PATIENCE = 6.0  # times as long by the clock, where a busy machine has not given a process its seconds yet
T = TypeVar("T")
R = TypeVar("R")


class Lost(Enum):
    """Why an item has no result."""

    DIED = "the process died"
    LATE = "the time was up"


@dataclass
class _Worker(Generic[T]):
    process: BaseProcess
    link: connection.Connection
    deadline: float
    began: float = 0.0  # with the first item: by the clock, and processor seconds of the process until then
    processor_seconds: float = 0.0
    items: deque[T] = field(default_factory=deque)  # the first is the one it works on; empty while it starts

    def begin(self, seconds: float, processor_seconds: float) -> None:
        """The next item is in work from now on, when the process has used so many `processor_seconds`."""
        self.began, self.processor_seconds = time.monotonic(), processor_seconds
        self.deadline = self.began + seconds

    def is_late(self, seconds: float) -> bool:
        """Whether the item has had its seconds; until then the deadline moves on, but not for ever."""
        now = time.monotonic()
        if not self.items or now >= self.began + PATIENCE * seconds:
            return True
        missing = seconds - (self._processor_seconds() - self.processor_seconds)
        self.deadline = now + missing
        return missing <= 0

    @cached_property
    def _usage(self) -> psutil.Process:
        return psutil.Process(self.process.pid)

    def _processor_seconds(self) -> float:
        try:
            times = self._usage.cpu_times()
        except psutil.Error:  # it is dead, which is noticed elsewhere
            return 0.0
        return float(times.user + times.system)

    def stop(self) -> None:
        self.link.close()
        self.process.kill()
        self.process.join()


def supervised(
    function: Callable[[T], R], items: Iterable[T], *, workers: int, seconds: float, preload: str
) -> Iterator[tuple[T, R | Lost]]:
    """(item, `function` of it) in the order of completion, over `workers` processes.

    A process that dies, or needs more than `seconds` for an item, is replaced and its item is `Lost`. The seconds
    are the processor's, so that a busy machine judges like a free one; by the clock it is `PATIENCE` times as
    long. An exception of `function` is raised here. `function` and items are pickled; `preload` is imported once.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(["__main__", preload])
    waiting = iter(items)
    returned: deque[T] = deque()  # held by a process that was lost before it began with them
    running: dict[connection.Connection, _Worker[T]] = {}

    def start() -> None:
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(there, function), daemon=True)
        process.start()
        there.close()
        running[here] = _Worker(process, here, time.monotonic() + START_SECONDS)

    def occupy(worker: _Worker[T], spent: float) -> None:
        """Give the worker, whose process has used `spent` processor seconds, its next items, or let it go."""
        worker.begin(seconds, spent)
        while len(worker.items) < HELD and (following := returned or list(islice(waiting, 1))):
            worker.items.append(following.pop())
            with suppress(BrokenPipeError, ConnectionResetError):  # it has just died, which is noticed below
                worker.link.send(worker.items[-1])
        if not worker.items:
            running.pop(worker.link).stop()

    def replace(worker: _Worker[T], why: Lost) -> tuple[T, Lost]:
        running.pop(worker.link).stop()
        if not worker.items:
            raise RuntimeError(f"a worker process cannot start: {why.value}")
        returned.extend(list(worker.items)[1:])
        start()
        return worker.items[0], why

    try:
        for _ in range(workers):
            start()
        while running:
            patience = max(0.0, min(worker.deadline for worker in running.values()) - time.monotonic())
            for link in connection.wait(list(running), patience):
                worker = running[link]  # type: ignore[index]
                try:
                    result, error, spent = worker.link.recv()
                except (EOFError, ConnectionResetError):
                    yield replace(worker, Lost.DIED)
                    continue
                if error is not None:
                    raise error
                done = [worker.items.popleft()] if worker.items else []  # else it has only said that it is ready
                occupy(worker, spent)
                if done:
                    yield done[0], result
            now = time.monotonic()
            for worker in [
                worker for worker in running.values() if worker.deadline <= now and not worker.link.poll()
            ]:
                if worker.is_late(seconds):
                    yield replace(worker, Lost.LATE)
    finally:
        for worker in running.values():
            worker.stop()


def spread(
    function: Callable[[T], R], items: list[T], *, workers: int, seconds: float, preload: str
) -> list[R | Lost]:
    """`function` of each item, in the order of `items`; in this process if they are too few for others to start."""
    workers = min(workers, len(items) // FEWEST_PER_WORKER)
    if workers < 2:
        return [function(item) for item in items]
    numbered = supervised(
        partial(_with_number, function), list(enumerate(items)), workers=workers, seconds=seconds, preload=preload
    )
    found = {number: result if isinstance(result, Lost) else result[1] for (number, _), result in numbered}
    return [found[number] for number in range(len(items))]


def _with_number(function: Callable[[T], R], item: tuple[int, T]) -> tuple[int, R]:
    return item[0], function(item[1])


def _keep_freed_memory() -> None:
    """Let glibc reuse what a file needed for the next one: to give a megabyte back and fault it in anew, ten times
    for each file, takes longer than to hash it. Other C libraries are left as they are."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter in (M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD):
            mallopt(parameter, KEPT_BYTES)


def _serve(link: connection.Connection, function: Callable[[T], R]) -> None:
    """In the worker: announce readiness, then answer until the parent is gone."""
    resource.setrlimit(resource.RLIMIT_DATA, (LARGEST_PROCESS_BYTES, LARGEST_PROCESS_BYTES))
    _keep_freed_memory()
    link.send((None, None, time.process_time()))
    while True:
        try:
            item = link.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            answer: tuple = (function(item), None)
        except Exception as error:
            answer = (None, error)
        try:
            link.send((*answer, time.process_time()))
        except (BrokenPipeError, ConnectionResetError):
            return
