"""A cohort of five children, and the recipe that packs it."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "dicom"))
from dicom_samples import KEY, PROTOCOL, save_child

from scintiflow.cohorts.add import add_cohort
from scintiflow.params import IngestParams, SplitParams

CHILDREN = 5
PAIRS = CHILDREN - 1  # one child has no rapid scan
SPLIT = SplitParams(seed=1, train=0.5, validation=0.2, smallest_train=1, smallest_validation=1, smallest_test=1)
LENIENT = SPLIT.model_copy(update={"smallest_train": 0, "smallest_validation": 0, "smallest_test": 0})
PARAMS = IngestParams(cohorts=["ward"], protocol=PROTOCOL, split=LENIENT, largest_shift_mm=60.0)


def add_ward(root: Path) -> Path:
    """The folder of cohorts under `root`, with one cohort, `ward`."""
    for seed in range(CHILDREN):
        rapid, _ = save_child(root / "export", seed)
    rapid.unlink()
    add_cohort(root / "export", "ward", protocol=PROTOCOL, key=KEY, cohorts=root / "cohorts", workers=1)
    return root / "cohorts"
