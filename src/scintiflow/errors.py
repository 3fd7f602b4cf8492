"""The one error that users see: where, what is wrong, and how to mend it."""

from functools import partial
from pathlib import Path


class ScintiflowError(Exception):
    """A mistake in the input, the parameters or the surroundings, not in the program.

    The command line prints it as one sentence and exits with code 2. It never carries
    patient identity: `where` is a path inside the project or a parameter key.
    """

    def __init__(self, reason: str, *, where: str | Path, remedy: str) -> None:
        self.reason = reason.rstrip(".")
        self.where = str(where)
        self.remedy = remedy.rstrip(".")
        super().__init__(f"{self.where}: {self.reason}. {self.remedy}.")

    def __reduce__(self) -> tuple:
        """So that one that a worker process raises arrives here, instead of a broken pool."""
        return partial(ScintiflowError, where=self.where, remedy=self.remedy), (self.reason,)
