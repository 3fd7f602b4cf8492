"""What a run that was stopped leaves on the volume of checkpoints, and nobody would ever take.

Pods that share ingest's work leave packed pairs for the step; it removes what it takes. After a cancelled run, or
where a patient was withdrawn before the step ran, they would lie there for ever.
"""

import time

from scintiflow.stages.ingest import PAIRS
from scintiflow.stages.kept_folders import kept_folder

LONGEST_TRANSFER_SECONDS = 24 * 3600  # far longer than from a share to the step that takes it


def remove_leftovers() -> int:
    """Delete pairs that have waited for longer than any transfer takes; how many files that were.

    A run that still wanted one makes it itself: nothing is lost but time.
    """
    latest = time.time() - LONGEST_TRANSFER_SECONDS
    old = [path for path in kept_folder(PAIRS).rglob("*") if path.is_file() and path.stat().st_mtime < latest]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)
