"""`add_cohort` as a process of its own, to be killed: EXPORT COHORTS."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "dicom"))

from dicom_samples import KEY, PROTOCOL

from scintiflow.cohorts.add import add_cohort

if __name__ == "__main__":
    export, cohorts = map(Path, sys.argv[1:])
    add_cohort(export, "ward", protocol=PROTOCOL, key=KEY, cohorts=cohorts, workers=2)
