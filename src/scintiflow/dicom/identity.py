"""The identity key and what is derived from it: pseudonyms, UIDs, date shifts.

Whoever holds the key can recompute pseudonyms from patient IDs; whoever does not, cannot. It never
leaves the hospital; a cohort carries only its fingerprint.
"""

import hmac
import os
import unicodedata
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from scintiflow.errors import ScintiflowError

KEY_VARIABLE = "SCINTIFLOW_IDENTITY_KEY"
SMALLEST_KEY_BYTES = 16
LARGEST_SHIFT_DAYS = 3650
PUBLIC_DEMONSTRATION_FINGERPRINT = "fd0bae0fef2e13db"


@dataclass(frozen=True)
class IdentityKey:
    """A secret of at least 16 bytes."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < SMALLEST_KEY_BYTES:
            raise ScintiflowError(
                f"the key has {len(self.secret)} bytes, {SMALLEST_KEY_BYTES} are needed",
                where="identity key",
                remedy="Make one: python -c 'import secrets; print(secrets.token_hex(32))'",
            )

    @property
    def fingerprint(self) -> str:
        """16 hex digits that tell keys apart and reveal nothing of the key."""
        return self._digest("fingerprint", "").hex()[:16]

    @property
    def is_public(self) -> bool:
        """True for the published demonstration key, which protects nobody."""
        return self.fingerprint == PUBLIC_DEMONSTRATION_FINGERPRINT

    def patient(self, issuer: str, patient_id: str) -> str:
        """Pseudonym of a patient: 'P-' and 16 hex digits. Case, blanks and width of the ID do not count."""
        return "P-" + self._digest("patient", f"{_normalised(issuer)}\0{_normalised(patient_id)}").hex()[:16]

    def study(self, study_uid: str) -> str:
        """Pseudonym of a study: 'S-' and 16 hex digits."""
        return "S-" + self._digest("study", study_uid).hex()[:16]

    def instance(self, instance_uid: str) -> str:
        """Name of an object's file: 'N-' and 16 hex digits."""
        return "N-" + self._digest("instance", instance_uid).hex()[:16]

    def uid(self, uid: str) -> str:
        """A UID under 2.25 (PS3.5 B.2) in place of `uid`; equal UIDs stay equal."""
        return f"2.25.{int.from_bytes(self._digest('uid', uid)[:16], 'big')}"

    def shift(self, patient: str) -> timedelta:
        """How far all dates and times of a patient are moved back; the same for all of them."""
        drawn = int.from_bytes(self._digest("shift", patient)[:8], "big")
        return timedelta(days=1 + drawn % LARGEST_SHIFT_DAYS, seconds=(drawn >> 32) % 86400)

    def check(self, *values: str) -> str:
        """A short mark by which equal values are recognised without being told."""
        return self._digest("check", "\0".join(values)).hex()[:16]

    def _digest(self, purpose: str, value: str) -> bytes:
        return hmac.digest(self.secret, f"scintiflow/1/{purpose}\0{value}".encode(), "sha256")


def load_key(path: Path | None = None) -> IdentityKey:
    """The key from a file, else from SCINTIFLOW_IDENTITY_KEY; both in hex, '#' begins a comment line."""
    if path is not None:
        try:
            return _from_hex(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError):
            raise ScintiflowError(
                "the identity key cannot be read", where=path, remedy="Name a readable text file with the key in hex"
            ) from None
    text = os.environ.get(KEY_VARIABLE, "")
    if not text.strip():
        raise ScintiflowError(
            "no identity key is given",
            where=KEY_VARIABLE,
            remedy=f"Set {KEY_VARIABLE} to the hospital's key in hex, or name a key file",
        )
    return _from_hex(text, KEY_VARIABLE)


def _from_hex(text: str, where: str) -> IdentityKey:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    try:
        return IdentityKey(bytes.fromhex("".join(lines)))
    except ValueError:
        raise ScintiflowError(
            "the identity key is not hexadecimal", where=where, remedy="Write the key as 32 or more hex digits"
        ) from None


def _normalised(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).upper().split())
