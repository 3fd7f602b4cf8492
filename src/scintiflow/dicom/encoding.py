"""Bytes of the objects that de-identification builds: Explicit VR Little Endian (PS3.5 7.1, PS3.10 7.1).

pydicom's writer is made for every object there is, and takes longer for one of these headers than hashing a
megabyte. What is written here is a subset: ASCII texts, numbers, sequences of explicit length, native pixels. All
else raises. Tests hold the bytes against those of pydicom's writer.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from pydicom.datadict import dictionary_VR

from scintiflow.dicom.attributes import tag_of

PREAMBLE = bytes(128) + b"DICM"
ITEM = b"\xfe\xff\x00\xe0"
Buffer: TypeAlias = "bytes | memoryview"
LONG = frozenset({"OB", "OW", "SQ"})  # reserved bytes and a length of 32 bits
WITH_16_BITS = {"SmallestImagePixelValue": "US", "LargestImagePixelValue": "US", "PixelData": "OW"}


@dataclass(frozen=True)
class EncodedFile:
    """A Part 10 file in two pieces, so that nobody need copy the larger one.

    Attributes:
        header: everything up to the pixel values.
        pixels: the pixel values, which end the file.
    """

    header: bytes
    pixels: memoryview = field(repr=False)

    def __bytes__(self) -> bytes:
        return self.header + self.pixels

    def sha256(self) -> str:
        """Hex SHA-256 of the file."""
        digest = hashlib.sha256(self.header)
        digest.update(self.pixels)
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Neither synced nor under a temporary name."""
        with path.open("wb", buffering=0) as target:
            for piece in (memoryview(self.header), self.pixels):
                while piece:  # a file takes what it can at once, and says how much that was
                    piece = piece[target.write(piece) :]


def encoded(attributes: Mapping[str, Any], file_meta: Mapping[str, Any]) -> EncodedFile:
    """A Part 10 file: the bytes that `object_bytes` gives for a dataset of the same content.

    Both arguments are values by keyword. A sequence is a list of such mappings, or what `encoded_items` made of one.
    PixelData must be there, as a memoryview of an even number of bytes.
    Raises KeyError, TypeError, ValueError or struct.error for what de-identification never writes.
    """
    meta = b"".join(_content(file_meta))
    length = struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(meta))
    *header, pixels = (PREAMBLE, length, meta, *_content(attributes))
    if not isinstance(pixels, memoryview):
        raise TypeError("PixelData is not a memoryview, or not the last element")
    return EncodedFile(b"".join(header), pixels)


def encoded_items(items: Iterable[Mapping[str, Any]]) -> bytes:
    """The value of a sequence."""
    contents = [b"".join(_content(item)) for item in items]
    return b"".join(piece for item in contents for piece in (ITEM, struct.pack("<I", len(item)), item))


class _Kind(NamedTuple):
    """How the element of a keyword is written."""

    tag: int
    begin: bytes  # up to the length
    length: struct.Struct
    padding: bytes
    encode: Callable[[Any], Buffer]


@cache
def _kind(keyword: str) -> _Kind:
    tag = tag_of(keyword)
    if tag is None:
        raise KeyError(keyword)
    vr = WITH_16_BITS.get(keyword) or dictionary_VR(tag)
    begin = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode()) + (b"\0\0" if vr in LONG else b"")
    padding = b"\0" if vr in ("UI", "OB", "OW") else b" "
    return _Kind(tag, begin, struct.Struct("<I" if vr in LONG else "<H"), padding, ENCODERS[vr])


def _content(attributes: Mapping[str, Any]) -> list[Buffer]:
    """Pieces of all elements, in the order of their tags."""
    pieces: list[Buffer] = []
    for kind, value in sorted(((_kind(keyword), value) for keyword, value in attributes.items()), key=_by_tag):
        content = b"" if value is None or value == "" else kind.encode(value)
        padded = len(content) + len(content) % 2
        pieces += [kind.begin, kind.length.pack(padded), content]
        if padded > len(content):
            pieces.append(kind.padding)
    return pieces


def _by_tag(element: tuple[_Kind, Any]) -> int:
    return element[0].tag


def _several(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | int | float) or not hasattr(value, "__iter__") else list(value)


def _text(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("ascii")
    return "\\".join(str(one) for one in _several(value)).encode("ascii")


def _name(value: Any) -> bytes:
    return str(value).encode("ascii")


def _number_text(value: Any) -> bytes:
    """The digits as they were given: 3.0 stays '3.0' and is not written as '3'."""
    return "\\".join(getattr(one, "original_string", None) or str(one) for one in _several(value)).encode("ascii")


def _numbers(code: str) -> Callable[[Any], bytes]:
    return lambda value: b"".join(struct.pack("<" + code, one) for one in _several(value))


def _tags(value: Any) -> bytes:
    return b"".join(struct.pack("<HH", one >> 16, one & 0xFFFF) for one in _several(value))


def _as_they_are(value: Buffer) -> Buffer:
    return value


def _sequence(value: Any) -> bytes:
    return value if isinstance(value, bytes) else encoded_items(value)


ENCODERS: Mapping[str, Callable[[Any], Buffer]] = {
    **dict.fromkeys(("AS", "CS", "DA", "LO", "LT", "SH", "ST", "TM", "UI"), _text),
    **dict.fromkeys(("DS", "IS"), _number_text),
    **{vr: _numbers(code) for vr, code in {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}.items()},
    **dict.fromkeys(("OB", "OW"), _as_they_are),
    "PN": _name,
    "AT": _tags,
    "SQ": _sequence,
}
