"""Statistics of restored scans on disk: a file of JSON lines for each month, only ever appended to."""

import fcntl
import json
import os
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

import numpy as np

from scintiflow.dicom.derived import ModelIdentity
from scintiflow.dicom.scan import Scan
from scintiflow.drift.statistics import ScanStatistics, scan_statistics
from scintiflow.errors import ScintiflowError

SUFFIX = ".jsonl"


@dataclass(frozen=True)
class Journal:
    """The store in `folder`; several programs may append to it at once."""

    folder: Path

    def add(self, scan: Scan, restored: np.ndarray, count_ratio: float, model: ModelIdentity) -> None:
        """Append a scan that was restored just now; see `scan_statistics`."""
        self.append(scan_statistics(scan, restored, count_ratio, model))

    def append(self, row: ScanStatistics) -> None:
        """Append one line; it is on the disk when this returns. A line that a crash cut off stays alone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{row.day[:7]}{SUFFIX}"
        line = json.dumps(row.to_json(), sort_keys=True, allow_nan=False).encode() + b"\n"
        with path.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
                line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def rows(self, since: str = "", until: str = "9999") -> list[ScanStatistics]:
        """Rows from day `since` to day `until`, both included (ISO 8601), in the order in which they came.

        Lines that a crash cut off are left out. Raises ScintiflowError if the folder is absent.
        """
        if not self.folder.is_dir():
            raise ScintiflowError(
                "no statistics are kept here",
                where=self.folder,
                remedy="Give watch.folder a folder; `restore` and `node` fill it",
            )
        found = [row for path in sorted(self.folder.glob(f"*{SUFFIX}")) for row in _read(path)]
        return [row for row in found if since <= row.day <= until]


def _read(path: Path) -> list[ScanStatistics]:
    names = {field.name for field in fields(ScanStatistics)}
    needed = {field.name for field in fields(ScanStatistics) if field.default is MISSING}
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            values = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(values, dict) and needed <= set(values) <= names:
            rows.append(ScanStatistics(**values))
    return rows
