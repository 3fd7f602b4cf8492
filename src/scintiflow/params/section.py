"""What every section of a recipe is: frozen, strict, with a hash of its own; and the types of its values."""

import hashlib
import json
from typing import Annotated, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())

    BY_WHOM: ClassVar[frozenset[str]] = frozenset()  # keys that say who does the work, and not what it is

    def sha256(self) -> str:
        """Hex SHA-256 of the section's values, independent of key order and comments."""
        return _sha256(self.model_dump())

    def work_sha256(self) -> str:
        """The same without the keys `BY_WHOM`: whoever goes on with interrupted work may change those."""
        return _sha256(self.model_dump(exclude=set(self.BY_WHOM)))


def _sha256(values: dict) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


SectionType = TypeVar("SectionType", bound=Section)
