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
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from scintiflow.dicom.attributes import Attributes
from scintiflow.dicom.reasons import Reason, Rejection

LARGEST_FILE_BYTES = 128 * 2**20
LARGEST_INFLATED_BYTES = 256 * 2**20
DEFLATED_AT_ONCE, INFLATED_AT_ONCE = 2**16, 2**20
DEEPEST_NESTING = 12  # sequences in sequences; real objects have four
ARCHIVE_MARKS = (b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"BZh", b"\xfd7zXZ\x00")
SILENT = ("ignore", None, Warning, None, 0)  # how `warnings` keeps what silenced() asks for
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


def parse(content: bytes) -> Dataset:
    """A dataset from the bytes of a Part 10 file (PS3.10). Raises Rejection."""
    if content[128:132] != b"DICM":
        raise Rejection(_what_it_is(content))
    with untrusted():
        dataset = pydicom.dcmread(BytesIO(_inflatable(content)))
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


@contextmanager
def silenced() -> Iterator[None]:
    """Neither pydicom's warnings nor its log records appear: they quote values, and so identity.

    It does not even look for malformed values meanwhile: what counts for us, we check ourselves.
    """
    logger, config = logging.getLogger("pydicom"), pydicom.config.settings
    level = logger.level
    modes = config.reading_validation_mode, config.writing_validation_mode
    if level > logging.CRITICAL and {*modes} == {pydicom.config.IGNORE} and warnings.filters[:1] == [SILENT]:
        yield  # inside of another such block
        return
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


def _inflatable(content: bytes) -> bytes:
    """`content`, after making sure that a deflated dataset does not inflate beyond the limit."""
    if DeflatedExplicitVRLittleEndian.encode() not in content:  # then no header can name it
        return content
    source = BytesIO(content)
    source.seek(132)
    meta = read_dataset(source, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return content
    start = 132 + 12 + int(meta.get("FileMetaInformationGroupLength", 0))
    inflater, inflated = zlib.decompressobj(-zlib.MAX_WBITS), 0
    for at in range(start, len(content), DEFLATED_AT_ONCE):
        left = content[at : at + DEFLATED_AT_ONCE]
        while left and inflated <= LARGEST_INFLATED_BYTES:  # piece by piece, none of which is kept
            inflated += len(inflater.decompress(left, INFLATED_AT_ONCE))
            left = inflater.unconsumed_tail
    if inflated > LARGEST_INFLATED_BYTES:
        raise Rejection(Reason.LIMIT_EXCEEDED, "deflated dataset")
    return content


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
