"""What the stages of a pipeline tell the process that launched it, and how one of them reads as a line."""

import json
from collections.abc import Iterator
from pathlib import Path

WIDTH_OF_TITLES = 40


class Events:
    """The events that stages append to a file as lines of JSON."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def new(self) -> Iterator[dict]:
        """Those that have come since the last call; a line that is still being written waits for the next one."""
        if not self._path.is_file():
            return
        with self._path.open(encoding="utf-8") as source:
            source.seek(self._read)
            while (line := source.readline()).endswith("\n"):
                self._read = source.tell()
                yield json.loads(line)


def step_line(mark: str, title: str, note: str) -> str:
    return f"  {mark} {title:<{WIDTH_OF_TITLES}} {note}"
