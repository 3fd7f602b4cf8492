"""The last look: does any text of the source that could name somebody stand in the output's bytes?"""

import re
from collections.abc import Iterator, Mapping
from functools import cache

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from scintiflow.dicom import allowlist, codes
from scintiflow.dicom.reasons import Reason, Rejection

SHORTEST_TOKEN = 3
SHORTEST_NUMBER = 6  # shorter digit strings meet by chance with measured numbers
LARGEST_BINARY = 2**16
PIXEL_DATA = Tag(0x7FE0, 0x0010)
TEXT_VRS = {"PN", "LO", "SH", "ST", "LT", "UT", "UC", "UI", "DA", "DT", "AE", "UR", "CS"}
SEPARATORS, NUMERIC = re.compile(r"[\^=,;\s]+"), re.compile(r"[\d.\-+]*")
FIXED_WORDS = (
    "ISO_IR 100 ISO_IR 192 ORIGINAL DERIVED PRIMARY SECONDARY WHOLE BODY WHOLEBODY EMISSION MONOCHROME2 YES MODIFIED "
    "Whole-body bone scan Whole body Bone Simulated GE Siemens Philips Mediso Millennium Discovery Infinia Optima "
    "StarGuide Symbia e.cam BrightView AnyScan Other PS3.15 Basic Profile dicom-anonymizer scintiflow allow-list "
    "SCINTIFLOW_1 WSD SCT DCM"
)


def refuse_identifiers(source: Dataset, header: bytes) -> None:
    """Raise Rejection DEIDENTIFICATION_FAILED if a text of `source` is left in `header`.

    `header` is the output's file without its pixel values: those are counts, and match short texts by chance.
    """
    fixed = fixed_texts()
    for token in identifiers(source):
        if token not in fixed and _occurs(token, header):
            raise Rejection(Reason.DEIDENTIFICATION_FAILED, "an identifier is left")


def identifiers(source: Dataset) -> set[str]:
    """Texts of the source that could name somebody: names and their parts, IDs, UIDs, dates, comments."""
    found: set[str] = set()
    for vr, value in _texts(source):
        pieces = SEPARATORS.split(value) if vr in ("PN", "LO", "SH", "ST", "LT", "UT", "UC") else []
        found.update(piece.strip() for piece in (value, *pieces))
    return {token for token in found if _is_telling(token)}


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


def _texts(dataset: Dataset) -> Iterator[tuple[str, str]]:
    for raw in list(dataset.elements()):
        try:
            element = dataset[raw.tag]
            value, vr = element.value, element.VR
        except Exception:  # a value that is no number or no text of its kind: its bytes are looked for
            value, vr = raw.value, "UN"
        if vr == "SQ":
            for item in value or []:
                yield from _texts(item)
        elif vr in TEXT_VRS and value not in (None, ""):
            several = value if isinstance(value, MultiValue) else [value]
            yield from ((vr, str(one).strip(" \0")) for one in several)
        elif vr in ("UN", "OB") and raw.tag != PIXEL_DATA and _is_text(value):
            yield "LO", value.decode("latin-1").strip(" \0")


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
    plain = token.isascii() and "\x1b" not in token  # then the first three encodings are one
    for encoding in ("utf-8", "utf-16-le") if plain else ("utf-8", "latin-1", "iso2022_jp", "utf-16-le"):
        try:
            raw = token.encode(encoding)
        except UnicodeEncodeError:
            continue
        if raw in written and re.search(rb"(?<![0-9A-Za-z.])" + re.escape(raw) + rb"(?![0-9A-Za-z.])", written):
            return True
    return False
