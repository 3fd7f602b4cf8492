"""What one process tells a tracker that another process, perhaps on another node, holds.

The teller appends lines of JSON to a file in a shared folder and lays artifacts beside it; the holder reads on and
forwards. So a training process needs no access to MLflow, and there is one writer of each run.
"""

import json
import shutil
from pathlib import Path

from scintiflow.tracking import Tracker

LINES = "told.jsonl"
ARTIFACTS = "told"


class WrittenTracker:
    """A tracker that writes down what it is told, into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._lines, self._artifacts, self._number = folder / LINES, folder / ARTIFACTS, 0

    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        self._write({"metrics": values, "step": step})

    def artifact(self, path: Path, folder: str = "") -> None:
        kept = self._artifacts / str(self._number) / path.name
        self._number += 1
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, kept)
        self._write({"artifact": str(kept.relative_to(self._artifacts)), "folder": folder})

    def _write(self, line: dict) -> None:
        with self._lines.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")


class Relay:
    """Forwards to `tracker` what a `WrittenTracker` of the same folder wrote since it was opened."""

    def __init__(self, folder: Path, tracker: Tracker) -> None:
        self._folder, self._tracker, self._read = folder, tracker, 0

    def __enter__(self) -> "Relay":
        self._clear()
        return self

    def __exit__(self, *_: object) -> None:
        self.forward()
        self._clear()

    def forward(self) -> None:
        """Forward every whole line that is new."""
        lines = self._folder / LINES
        if not lines.is_file():
            return
        with lines.open("rb") as source:
            source.seek(self._read)
            fresh = source.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            told = json.loads(line)
            if "metrics" in told:
                self._tracker.metrics(told["metrics"], told["step"])
            else:
                self._tracker.artifact(self._folder / ARTIFACTS / told["artifact"], told["folder"])

    def _clear(self) -> None:
        (self._folder / LINES).unlink(missing_ok=True)
        shutil.rmtree(self._folder / ARTIFACTS, ignore_errors=True)
