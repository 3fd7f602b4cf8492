"""From a path to a parsed DICOM dataset: regular files only, limits before allocation.

The bytes are read once; the hash, the parsing and the pixels all refer to the same bytes.
"""

import hashlib
import logging
import os
import stat
import warnings
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import cast

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from scintiflow.dicom.attributes import Attributes
from scintiflow.dicom.reasons import Reason, Rejection

LARGEST_FILE_BYTES = 128 * 2**20
LARGEST_INFLATED_BYTES = 256 * 2**20
DEFLATED_AT_ONCE, INFLATED_AT_ONCE = 2**16, 2**20
DEEPEST_NESTING = 12  # sequences in sequences; real objects have four
ARCHIVE_MARKS = (b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"BZh", b"\xfd7zXZ\x00")
PYDICOM, QUIET = logging.getLogger("pydicom"), (pydicom.config.IGNORE, pydicom.config.IGNORE)
SILENT = ("ignore", None, Warning, None, 0)  # how `warnings` keeps what silenced() asks for
PIXEL_DATA = Tag("PixelData")
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"


@dataclass(frozen=True)
class Opened:
    """A parsed file and the hash of the bytes that were parsed."""

    dataset: Dataset = field(repr=False)
    sha256: str

    @cached_property
    def attributes(self) -> Attributes:
        return Attributes(self.dataset)


def open_object(path: Path) -> Opened:
    """Parse a DICOM file. Raises Rejection; never blocks on a pipe, never follows a symbolic link."""
    content = read_regular_file(path)
    return Opened(parse(content), hashlib.sha256(content).hexdigest())


def read_regular_file(path: Path) -> bytes:
    """The bytes of a regular file of bounded size. Raises Rejection."""
    try:
        kind = os.lstat(path).st_mode
        if stat.S_ISLNK(kind):
            raise Rejection(Reason.SYMLINK)
        if not stat.S_ISREG(kind):
            raise Rejection(Reason.SPECIAL_FILE)
        # between lstat and open the entry may be swapped: neither follow a link nor wait for a pipe's writer
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        raise Rejection(Reason.UNREADABLE) from None
    with os.fdopen(descriptor, "rb", buffering=0) as source:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise Rejection(Reason.SPECIAL_FILE)
        if before.st_size > LARGEST_FILE_BYTES:
            raise Rejection(Reason.LIMIT_EXCEEDED, f"{before.st_size} bytes")
        try:
            content = source.read(before.st_size + 1) or b""  # one more: a file that grows is noticed
        except OSError:
            raise Rejection(Reason.UNREADABLE) from None
        after = os.fstat(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(content) != after.st_size:
        raise Rejection(Reason.CHANGED)
    return content


def parse(content: bytes, pixels: memoryview | None = None) -> Dataset:
    """A dataset from the bytes of a Part 10 file (PS3.10). Raises Rejection.

    `pixels`: the value of PixelData, if that is the last element and `content` ends where its value begins.
    """
    if content[128:132] != b"DICM":
        raise Rejection(_what_it_is(content))
    with untrusted():
        dataset = _read(content)
        if pixels is not None:
            last = cast(RawDataElement, dataset.get_item(PIXEL_DATA))
            dataset[PIXEL_DATA] = last._replace(value=cast(bytes, pixels))  # read like bytes, and never altered
        file_meta = Attributes(dataset.file_meta)
        if file_meta.get("MediaStorageSOPClassUID") == MEDIA_STORAGE_DIRECTORY:
            raise Rejection(Reason.DICOMDIR)
        if not file_meta.get("TransferSyntaxUID"):
            raise Rejection(Reason.NO_TRANSFER_SYNTAX)
        if not len(dataset):  # what the parser returns when encapsulated pixels end before their time
            raise Rejection(Reason.TRUNCATED)
        _refuse_cut_values(dataset)
        _refuse_depth(Attributes(dataset), DEEPEST_NESTING)
    return dataset


@contextmanager
def untrusted() -> Iterator[None]:
    """Whatever the block meets in a file becomes a Rejection; nothing that quotes the file is said or raised."""
    with silenced():
        try:
            yield
        except Rejection:
            raise
        except EOFError:
            raise Rejection(Reason.TRUNCATED) from None
        except (MemoryError, RecursionError, OverflowError):
            raise Rejection(Reason.LIMIT_EXCEEDED) from None
        except Exception as error:  # parsers and decoders fed with garbage may raise anything
            raise Rejection(Reason.CORRUPT, type(error).__name__) from None


def silenced() -> AbstractContextManager[None]:
    """Neither pydicom's warnings nor its log records appear: they quote values, and so identity.

    It does not even look for malformed values meanwhile: what counts for us, we check ourselves.
    """
    config = pydicom.config.settings
    modes = config.reading_validation_mode, config.writing_validation_mode
    inside = PYDICOM.level > logging.CRITICAL and modes == QUIET and warnings.filters[:1] == [SILENT]
    return nullcontext() if inside else _silence()


@contextmanager
def _silence() -> Iterator[None]:
    logger, config = PYDICOM, pydicom.config.settings
    level = logger.level
    modes = config.reading_validation_mode, config.writing_validation_mode
    logger.setLevel(logging.CRITICAL + 1)
    config.reading_validation_mode = config.writing_validation_mode = pydicom.config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        config.reading_validation_mode, config.writing_validation_mode = modes


def _what_it_is(content: bytes) -> Reason:
    if content.startswith(ARCHIVE_MARKS) or content[257:262] == b"ustar":
        return Reason.ARCHIVE
    if content[:2] in (b"\x02\x00", b"\x08\x00") and content[2:4] in (
        b"\x00\x00",
        b"\x01\x00",
        b"\x05\x00",
        b"\x08\x00",
    ):
        return Reason.NO_PREAMBLE
    return Reason.NOT_DICOM


def _read(content: bytes) -> Dataset:
    """What `dcmread` reads. The usual transfer syntaxes, whose parsers are called directly, take half the time."""
    source = BytesIO(content)
    source.seek(132)
    meta = read_dataset(source, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    syntax = meta.get("TransferSyntaxUID")
    group = content[source.tell() : source.tell() + 2]
    if syntax not in (ImplicitVRLittleEndian, ExplicitVRLittleEndian) or group == b"\0\0":  # a command set
        if syntax == DeflatedExplicitVRLittleEndian:
            _refuse_inflation(content, meta)
        return pydicom.dcmread(BytesIO(content))
    dataset = read_dataset(source, syntax == ImplicitVRLittleEndian, True)
    dataset.file_meta = FileMetaDataset(meta)
    return dataset


def _refuse_inflation(content: bytes, meta: Dataset) -> None:
    """Make sure that a deflated dataset does not inflate beyond the limit."""
    start = 132 + 12 + int(meta.get("FileMetaInformationGroupLength", 0))
    inflater, inflated = zlib.decompressobj(-zlib.MAX_WBITS), 0
    for at in range(start, len(content), DEFLATED_AT_ONCE):
        left = content[at : at + DEFLATED_AT_ONCE]
        while left and inflated <= LARGEST_INFLATED_BYTES:  # piece by piece, none of which is kept
            inflated += len(inflater.decompress(left, INFLATED_AT_ONCE))
            left = inflater.unconsumed_tail
    if inflated > LARGEST_INFLATED_BYTES:
        raise Rejection(Reason.LIMIT_EXCEEDED, "deflated dataset")


def _refuse_cut_values(dataset: Dataset) -> None:
    """The parser hands out what is left of a cut file; a value shorter than its length betrays the cut."""
    for element in dataset.values():
        if isinstance(element, RawDataElement) and element.length not in (None, 0, 0xFFFFFFFF):
            held = 0 if element.value is None else len(element.value)
            if held < element.length:
                raise Rejection(Reason.TRUNCATED, f"{element.tag} holds {held} of {element.length} bytes")


def _refuse_depth(attributes: Attributes, levels: int) -> None:
    """Sequences are parsed when they are first looked at, each level by itself: so a bomb never unfolds."""
    if levels == 0:
        raise Rejection(Reason.LIMIT_EXCEEDED, f"more than {DEEPEST_NESTING} levels of sequences")
    for items in attributes.sequences():
        for item in items or ():
            _refuse_depth(item, levels - 1)
