"""The last look: does any text of the source that could name somebody stand in the output's bytes?"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any

from pydicom.multival import MultiValue

from scintiflow.dicom import allowlist, codes
from scintiflow.dicom.attributes import Attributes
from scintiflow.dicom.reasons import Reason, Rejection

SHORTEST_TOKEN = 3
SHORTEST_NUMBER = 6  # shorter digit strings meet by chance with measured numbers
LARGEST_BINARY = 2**16
PIXEL_DATA = 0x7FE00010
REMEMBERED_SEQUENCES = 256
REMEMBERED_TEXTS, LONGEST_REMEMBERED = 1024, 256  # in each process: one hospital's files repeat most texts
TEXT_VRS = {"PN", "LO", "SH", "ST", "LT", "UT", "UC", "UI", "DA", "DT", "AE", "UR", "CS"}
SEPARATORS, NUMERIC = re.compile(r"[\^=,;\s]+"), re.compile(r"[\d.\-+]*")
FIXED_WORDS = (
    "ISO_IR 100 ISO_IR 192 ORIGINAL DERIVED PRIMARY SECONDARY WHOLE BODY WHOLEBODY EMISSION MONOCHROME2 YES MODIFIED "
    "Whole-body bone scan Whole body Bone Simulated GE Siemens Philips Mediso Millennium Discovery Infinia Optima "
    "StarGuide Symbia e.cam BrightView AnyScan Other PS3.15 Basic Profile dicom-anonymizer scintiflow allow-list "
    "SCINTIFLOW_1 WSD SCT DCM"
)


def refuse_identifiers(source: Attributes, header: bytes) -> None:
    """Raise Rejection DEIDENTIFICATION_FAILED if a text of `source` is left in `header`.

    `header` is the output's file without its pixel values: those are counts, and match short texts by chance.
    """
    if any(_occurs(token, header) for token in identifiers(source)):
        raise Rejection(Reason.DEIDENTIFICATION_FAILED, "an identifier is left")


def identifiers(source: Attributes) -> set[str]:
    """Texts of the source that could name somebody: names and their parts, IDs, UIDs, dates, comments."""
    found: set[str] = set()
    for tag in source.tags():
        try:
            vr, value = source.element(tag)
        except Exception:  # a value that is no number or no text of its kind: its bytes are looked for
            vr, value = "UN", source.raw_value(tag)
        if vr == "SQ":
            found.update((_of_known_items if source.is_remembered(tag) else _of_items)(value or ()))
        elif vr in TEXT_VRS:
            for text in _several(value):
                found.update(_known_tokens(vr, text) if len(text) <= LONGEST_REMEMBERED else _tokens(vr, text))
        elif vr in ("UN", "OB") and tag != PIXEL_DATA and _is_text(value):
            found.update(_tokens("LO", value.decode("latin-1").strip(" \0")))
    return found


def _of_items(items: tuple[Attributes, ...]) -> frozenset[str]:
    return frozenset(token for item in items for token in identifiers(item))


def _tokens(vr: str, value: str) -> tuple[str, ...]:
    """The text and its parts, as far as they could name somebody and are not texts of our own."""
    pieces = SEPARATORS.split(value) if vr in ("PN", "LO", "SH", "ST", "LT", "UT", "UC") else []
    found = {piece.strip() for piece in (value, *pieces)}
    return tuple(token for token in found if _is_telling(token) and token not in fixed_texts())


@cache
def fixed_texts() -> str:
    """Every text that this product itself puts into an output."""
    concepts = [value for value in vars(codes).values() if isinstance(value, codes.Code)]
    concepts += [*codes.VIEW_CODES.values(), *codes.DEIDENTIFICATION_METHODS]
    return " ".join([FIXED_WORDS, *(" ".join(concept) for concept in concepts), *_vocabulary(allowlist.ALLOWED)])


def _vocabulary(rules: Mapping[str, allowlist.Rule]) -> Iterator[str]:
    for rule in rules.values():
        if isinstance(rule, allowlist.Words):
            yield from sorted(rule.vocabulary)
        elif isinstance(rule, Mapping):
            yield from _vocabulary(rule)


def _several(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    several = value if isinstance(value, MultiValue) else [value]
    return [str(one).strip(" \0") for one in several]


def _is_text(value: object) -> bool:
    return (
        isinstance(value, bytes)
        and 0 < len(value) < LARGEST_BINARY
        and re.fullmatch(rb"[\x20-\x7e\x80-\xff\r\n]+\0?", value) is not None
    )


def _is_telling(token: str) -> bool:
    if token.startswith("1.2.840.10008.") or token in ("0", "00000000"):
        return False
    return len(token) >= (SHORTEST_NUMBER if NUMERIC.fullmatch(token) else SHORTEST_TOKEN)


def _occurs(token: str, written: bytes) -> bool:
    """As a word of its own, in any of the encodings in which DICOM may hold it."""
    return any(
        raw in written and re.search(rb"(?<![0-9A-Za-z.])" + re.escape(raw) + rb"(?![0-9A-Za-z.])", written)
        for raw in (_known_spellings(token) if len(token) <= LONGEST_REMEMBERED else _spellings(token))
    )


def _spellings(token: str) -> tuple[bytes, ...]:
    plain = token.isascii() and "\x1b" not in token  # then the first three encodings are one
    found = []
    for encoding in ("utf-8", "utf-16-le") if plain else ("utf-8", "latin-1", "iso2022_jp", "utf-16-le"):
        with suppress(UnicodeEncodeError):
            found.append(token.encode(encoding))
    return tuple(found)


# What repeats from file to file is looked at once in a process; what is long is not kept.
_of_known_items = lru_cache(maxsize=REMEMBERED_SEQUENCES)(_of_items)
_known_tokens = lru_cache(maxsize=REMEMBERED_TEXTS)(_tokens)
_known_spellings = lru_cache(maxsize=REMEMBERED_TEXTS)(_spellings)
