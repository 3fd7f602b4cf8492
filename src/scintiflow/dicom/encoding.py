"""Bytes of the objects that de-identification builds: Explicit VR Little Endian (PS3.5 7.1, PS3.10 7.1).

pydicom's writer is made for every object there is, and takes longer for one of these headers than hashing a
megabyte. What is written here is a subset: ASCII texts, numbers, sequences of explicit length, native pixels. All
else raises. Tests hold the bytes against those of pydicom's writer.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

PREAMBLE = bytes(128) + b"DICM"
ITEM = b"\xfe\xff\x00\xe0"
LONG = frozenset({"OB", "OW", "SQ"})  # reserved bytes and a length of 32 bits


def encoded(dataset: Dataset) -> bytes:
    """A Part 10 file: the bytes that `object_bytes` gives for the same dataset.

    Raises KeyError, TypeError, ValueError or struct.error for what de-identification never writes.
    """
    meta = b"".join(piece for tag in sorted(dataset.file_meta.keys()) for piece in _pieces(dataset.file_meta[tag]))
    length = struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(meta))
    return b"".join((PREAMBLE, length, meta, *_content(dataset)))


def _content(dataset: Dataset) -> Iterator[bytes]:
    for tag in sorted(dataset.keys()):
        yield from _pieces(dataset[tag])


def _pieces(element: DataElement) -> tuple[bytes, bytes]:
    vr = element.VR
    value = element.value
    content = b"" if value is None or value == "" else ENCODERS[vr](value)
    if len(content) % 2:
        content += b"\0" if vr in ("UI", "OB", "OW") else b" "
    tag = element.tag
    if vr in LONG:
        return struct.pack("<HH2sHI", tag.group, tag.element, vr.encode(), 0, len(content)), content
    return struct.pack("<HH2sH", tag.group, tag.element, vr.encode(), len(content)), content


def _several(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | int | float) or not hasattr(value, "__iter__") else list(value)


def _text(value: Any) -> bytes:
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


def _sequence(value: Any) -> bytes:
    items = [b"".join(_content(item)) for item in value]
    return b"".join(piece for item in items for piece in (ITEM, struct.pack("<I", len(item)), item))


ENCODERS: Mapping[str, Callable[[Any], bytes]] = {
    **dict.fromkeys(("AS", "CS", "DA", "LO", "LT", "SH", "ST", "TM", "UI"), _text),
    **dict.fromkeys(("DS", "IS"), _number_text),
    **{vr: _numbers(code) for vr, code in {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}.items()},
    **dict.fromkeys(("OB", "OW"), bytes),
    "PN": _name,
    "AT": _tags,
    "SQ": _sequence,
}
