"""Who works under `.scintiflow`: one retrain and one ablation at a time, and nobody while results are pruned."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from scintiflow.cluster.local_cache import STATE
from scintiflow.errors import ScintiflowError

RETRAIN, ABLATION = "retrain", "ablation"


class BusyError(ScintiflowError):
    """Somebody else does it now."""


@contextmanager
def alone(work: str, root: Path) -> Iterator[None]:
    """Hold the project's lock of this `work`; a process that dies loses it. Raises BusyError if one holds it."""
    lock = root / STATE / f"{work}.lock"
    lock.parent.mkdir(exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            yield
    except Timeout:
        raise BusyError(
            f"another {work} is running in this project", where=lock, remedy="Wait for it, or stop it"
        ) from None
