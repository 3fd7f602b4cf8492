"""A share of the patients: what one of several pods does of a stage's work."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """Number `number` (0, 1, ...) of `of` shares.

    A patient's share follows from the pseudonym alone, so nobody needs to know the other patients, and all scans of
    a patient are in one share.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.number < self.of:
            raise ValueError(f"there is no share {self.number} of {self.of}")

    def holds(self, patient: str) -> bool:
        digest = hashlib.sha256(f"scintiflow/share\0{patient}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number
