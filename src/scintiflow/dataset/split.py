"""Which patients train, validate and test: decided by the pseudonym and the seed alone.

Each patient's hash is a number in [0, 1), laid against the cumulative shares. Other patients play no
part, so a new delivery moves nobody, and a champion's test patients stay test patients.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable

from scintiflow.dataset.manifest import SPLITS
from scintiflow.errors import ScintiflowError
from scintiflow.params import SplitParams


def split_of(patient: str, params: SplitParams) -> str:
    """'train', 'validation' or 'test' for a patient's pseudonym."""
    digest = hashlib.sha256(f"scintiflow/split/{params.seed}\0{patient}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < params.train:
        return "train"
    return "validation" if position < params.train + params.validation else "test"


def patients_per_split(patients: Iterable[str], params: SplitParams) -> dict[str, int]:
    """Number of different patients in each split."""
    counted = Counter(split_of(patient, params) for patient in set(patients))
    return {split: counted[split] for split in SPLITS}


def check_split_sizes(sizes: dict[str, int], params: SplitParams) -> None:
    """Raise ScintiflowError if a split has fewer patients than the parameters ask for."""
    for split in SPLITS:
        smallest = getattr(params, f"smallest_{split}")
        if sizes[split] < smallest:
            have = ", ".join(f"{name} {sizes[name]}" for name in SPLITS)
            raise ScintiflowError(
                f"the {split} split has {sizes[split]} patients, {smallest} are needed (patients: {have})",
                where="ingest.split",
                remedy=f"Add a cohort with more pairs, or lower ingest.split.smallest_{split}",
            )
