"""What a parsed header says, by keyword: every value is converted once, and equal bytes once in a process.

pydicom looks keyword and tag up at every question and converts a value at the first. Checks, allow-list and byte scan
ask some three hundred questions of each file, and the files of one hospital give mostly the same answers. The
conversion itself stays pydicom's.
"""

from collections.abc import Iterator, KeysView
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.valuerep import AMBIGUOUS_VR

LONGEST_REMEMBERED = 2048  # bytes of a value; longer ones are not repeated from file to file
REMEMBERED_VALUES = 1024  # in each process: some ten files

tag_of = lru_cache(maxsize=1024)(tag_for_keyword)


class Values(Protocol):
    """What can be asked for the value of a keyword: a Dataset, a view of one, or a dict."""

    def get(self, keyword: str, default: Any = None, /) -> Any: ...


class Image(Values, Protocol):
    """Values of an object with pixels: a Dataset, or a view of one."""

    @property
    def file_meta(self) -> Values: ...

    @property
    def pixel_array(self) -> np.ndarray: ...

    def __contains__(self, keyword: str, /) -> bool: ...


class Attributes:
    """A read-only view of `dataset` as it was when the view was made; items of sequences are views as well."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._elements = {int(tag): element for tag, element in dataset.items()}  # plain numbers compare faster
        self._converted: dict[int, tuple[str, Any]] = {}  # VR and value

    def __contains__(self, keyword: str) -> bool:
        return tag_of(keyword) in self._elements

    def tags(self) -> KeysView[int]:
        """The tags, as numbers."""
        return self._elements.keys()

    def get(self, keyword: str, default: Any = None, /) -> Any:
        """As `Dataset.get`; a sequence is a tuple of views. Raises what pydicom raises for a malformed value."""
        tag = tag_of(keyword)
        if tag in self._converted:
            return self._converted[tag][1]
        if tag not in self._elements:
            return default
        try:
            return self.element(tag)[1]
        except AttributeError:
            return default

    def element(self, tag: int) -> tuple[str, Any]:
        """VR and value of a tag that is present. Raises what pydicom raises for a malformed value."""
        if tag not in self._converted:
            self._converted[tag] = self._convert(tag, self._elements[tag])
        return self._converted[tag]

    def raw_value(self, tag: int) -> Any:
        """The value as the parser left it: bytes, unless it has parsed the element already."""
        return self._elements[tag].value

    def is_remembered(self, tag: int) -> bool:
        """True if equal bytes, here or in another file, have given or will give the very same value."""
        element = self._elements[tag]
        return isinstance(element, RawDataElement) and _stands_alone(element)

    def sequences(self) -> Iterator[tuple["Attributes", ...]]:
        """The items of every element that is marked as a sequence. Raises what pydicom raises while parsing them."""
        for tag, element in self._elements.items():
            if element.VR == "SQ":
                yield self.element(tag)[1]

    @cached_property
    def file_meta(self) -> "Attributes":
        return Attributes(self.dataset.file_meta)

    @property
    def pixel_array(self) -> np.ndarray:
        return self.dataset.pixel_array

    def _convert(self, tag: int, element: DataElement | RawDataElement) -> tuple[str, Any]:
        if isinstance(element, DataElement):
            return element.VR, _viewed(element)
        if _stands_alone(element):
            vr, value = _converted(
                tag,
                element.VR,
                element.length,
                element.value,
                element.is_implicit_VR,
                element.is_little_endian,
                *self._encodings,
            )
            if vr not in AMBIGUOUS_VR:
                return vr, value
        found = self.dataset[BaseTag(tag)]
        return found.VR, _viewed(found)

    @cached_property
    def _encodings(self) -> tuple[str, ...]:
        """Character sets of texts."""
        found = self.dataset.original_character_set or self.dataset._character_set
        return (found,) if isinstance(found, str) else tuple(found)


def _stands_alone(raw: RawDataElement) -> bool:
    """True for a short value whose meaning does not depend on other elements, as that of private ones does."""
    if raw.value is None:
        return raw.length == 0
    return len(raw.value) <= LONGEST_REMEMBERED and not raw.tag >> 16 & 1


@lru_cache(maxsize=REMEMBERED_VALUES)
def _converted(
    tag: int, vr: str | None, length: int, value: bytes | None, implicit: bool, little_endian: bool, *encodings: str
) -> tuple[str, Any]:
    """VR and value of an element that stands for itself. What is handed out is shared and never altered."""
    raw = RawDataElement(BaseTag(tag), vr, length, value, 0, implicit, little_endian)
    element = convert_raw_data_element(raw, encoding=list(encodings))
    return element.VR, _viewed(element)


def _viewed(element: DataElement) -> Any:
    if element.VR == "SQ" and isinstance(element.value, Sequence):
        return tuple(Attributes(item) for item in element.value)
    return element.value
