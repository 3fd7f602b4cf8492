"""The benchmark of ingestion: a mixture of vendors is taken in whole, beside the bare loop."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "ingest.py"


def test_a_mixed_export_is_taken_in_and_compared(tmp_path):
    """All ways to store a scan are among the first ten children, who have 22 files."""
    options = ["--files", "22", "--kind", "mixed vendors", "--workers", "2", "--place", str(tmp_path)]
    run = subprocess.run([sys.executable, str(SCRIPT), *options], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    rows = [line.strip("| ").split(" | ") for line in run.stdout.splitlines() if line.startswith("| ")][1:]
    named = ["bare loop, 1 process", "floor: read, SHA-256, write", "cohort add, 2 workers", "the same export again"]
    assert [row[:3] for row in rows] == [["22", "mixed vendors", name] for name in named]
    assert rows[0][5] == rows[0][7] == "1.0"
    assert list(tmp_path.iterdir()) == []
