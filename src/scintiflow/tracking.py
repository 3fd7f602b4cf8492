"""What a stage may tell the outside world while it runs.

A stage gets a `Tracker` and never knows whether MLflow, a test or nobody listens.
"""

from pathlib import Path
from typing import Protocol


class Tracker(Protocol):
    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        """Record numbers; `step` is the optimiser step for curves, None for a final value."""

    def artifact(self, path: Path, folder: str = "") -> None:
        """Keep a file (a picture, a table, a page) with the run, under `folder`."""


class SilentTracker:
    """Nobody listens."""

    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        pass

    def artifact(self, path: Path, folder: str = "") -> None:
        pass
