"""Picture files of a delivery: which belong together, whose they are, and what is in them.

A delivery is a folder `data/cohorts/<name>/` with

- `low/` and `high/`: the poor and the good picture of each pair, under one name (the suffix may differ);
- `patients.csv` (optional): columns `picture,patient`, for names that do not tell the patient.

Without `patients.csv` a picture's patient, or sequence, is the sub-folder it lies in, else its name up to the first
underscore: `low/p07_0013.png` belongs to `p07`. File names are shown in messages: they must be pseudonyms already.
Only pixels are read; EXIF and other metadata are not.
"""

import csv
import warnings
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from scintiflow.errors import ScintiflowError

LOW, HIGH, PATIENTS = "low", "high", "patients.csv"
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
SMALLEST_SIDE = 32  # pixels; the smallest patch that trains
CHANNELS = {"L": 1, "RGB": 3}
DEEPER = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


class Refusal(Enum):
    """Why a picture is left out: the sentence and the remedy that a user reads."""

    UNREADABLE = ("The file is damaged or is no picture", "Export it again")
    NOT_A_PICTURE = ("The suffix is none of .png, .jpg, .jpeg, .tif, .tiff, .bmp", "Take the file out of the folder")
    DEEPER_THAN_8_BITS = ("Pixels have more than 8 bits", "Export 8-bit pictures, all with one fixed window")
    TRANSPARENT = ("The picture has an alpha channel", "Save it without transparency")
    SEVERAL_FRAMES = ("The file holds several frames or pages", "Save every frame as a file of its own")
    CMYK = ("The colours are CMYK, for print", "Export the picture in RGB as the camera gave it")
    NEITHER_GREY_NOR_RGB = ("The pixels are neither grey nor RGB, 8 bits each", "Save it as 8-bit grey or RGB")
    TOO_SMALL = (f"A side is shorter than {SMALLEST_SIDE} pixels", "Take larger pictures")
    TOO_LARGE = ("The picture has more pixels than can be opened safely", "Cut it into smaller ones")
    UNPAIRED = ("There is no picture of this name in the other folder", "Name both pictures of a pair alike")
    NAME_TWICE = ("Two files of this folder differ in their suffix alone", "Keep one of them, or rename one")
    SIZES_DIFFER = ("The two pictures of the pair differ in size", "Export both with the same rows and columns")
    COLOURS_DIFFER = ("One picture of the pair is grey and the other RGB", "Export both alike")
    NO_PATIENT = (
        "Neither name, folder nor patients.csv says whose picture this is",
        "Begin the name with the patient and an underscore, or list the picture in patients.csv",
    )
    MISREGISTERED = ("The two pictures of the pair lie too far apart", "Compare them; they may be another pair's")
    DUPLICATE = ("The same pair is there already", "Nothing needs to be done")
    COPY_OF_HELD_OUT = (
        "The good picture is nearly the same as one that validates or tests, of another patient",
        "Nothing needs to be done: trained on, it would flatter the result",
    )

    @property
    def sentence(self) -> str:
        return self.value[0]

    @property
    def remedy(self) -> str:
        return self.value[1]


class PictureRefusedError(Exception):
    """One picture, or pair, is left out."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.name)


@dataclass(frozen=True)
class PicturePair:
    """Two files of one name.

    Attributes:
        name: path below `low/` and `high/` without the suffix; `patient` is the delivery's own word.
    """

    cohort: str
    name: str
    patient: str
    low: Path
    high: Path


@dataclass(frozen=True)
class Delivery:
    """A folder of pictures: complete pairs, files without a partner, and what was refused by its name alone."""

    pairs: list[PicturePair]
    unpaired_low: list[Path]
    refused: list[tuple[Path, Refusal]]


def is_picture_delivery(cohort: Path) -> bool:
    return (cohort / LOW).is_dir()


def list_delivery(cohort: Path) -> Delivery:
    """Pair the files of a delivery by name, in the order of the names; no pixel is read.

    Raises ScintiflowError if a folder is missing or patients.csv cannot be understood.
    """
    for folder in (LOW, HIGH):
        if not (cohort / folder).is_dir():
            raise ScintiflowError(
                f"has no folder '{folder}'", where=cohort, remedy=f"Put the pictures into '{LOW}' and '{HIGH}'"
            )
    named = _patients_by_list(cohort / PATIENTS)
    refused: list[tuple[Path, Refusal]] = []
    low, high = (_by_name(cohort / folder, refused) for folder in (LOW, HIGH))
    for mine, others in ((low, high), (high, low)):
        refused += [(mine[name], Refusal.UNPAIRED) for name in mine.keys() - others.keys()]
    pairs = []
    for name in sorted(low.keys() & high.keys()):
        patient = named.get(name, "") if named is not None else _patient_by_name(name)
        if patient:
            pairs.append(PicturePair(cohort.name, name, patient, low[name], high[name]))
        else:
            refused += [(path, Refusal.NO_PATIENT) for path in (low[name], high[name])]
    unpaired_low = [low[name] for name in sorted(low.keys() - high.keys())]
    return Delivery(pairs, unpaired_low, sorted(refused, key=lambda item: item[0].as_posix()))


def read_picture(path: Path) -> np.ndarray:
    """Levels 0..255 as uint16 `[plane, row, column]`: one plane for grey, red, green and blue for RGB.

    A turn that EXIF asks for is carried out. Raises PictureRefusedError for everything that is not one still, opaque
    picture of 8 bits.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                refusal = _refusal(picture)
                if refusal is not None:
                    raise PictureRefusedError(refusal)
                pixels = np.asarray(ImageOps.exif_transpose(picture))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureRefusedError(Refusal.TOO_LARGE) from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError):
        raise PictureRefusedError(Refusal.UNREADABLE) from None
    planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
    if min(planes.shape[1:]) < SMALLEST_SIDE:
        raise PictureRefusedError(Refusal.TOO_SMALL)
    return np.ascontiguousarray(planes, dtype=np.uint16)


def read_pair(pair: PicturePair) -> tuple[np.ndarray, np.ndarray]:
    """Levels of the poor and the good picture, see `read_picture`. Raises PictureRefusedError."""
    low, high = read_picture(pair.low), read_picture(pair.high)
    if len(low) != len(high):
        raise PictureRefusedError(Refusal.COLOURS_DIFFER)
    if low.shape != high.shape:
        raise PictureRefusedError(Refusal.SIZES_DIFFER)
    return low, high


def save_picture(path: Path, levels: np.ndarray) -> None:
    """Write `[plane, row, column]` levels of any number type as an 8-bit PNG into an existing folder."""
    pixels = np.clip(np.round(levels), 0, 255).astype(np.uint8)
    Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, 2)).save(path, format="PNG")


def _refusal(picture: Image.Image) -> Refusal | None:
    if getattr(picture, "n_frames", 1) > 1:
        return Refusal.SEVERAL_FRAMES
    if picture.mode in DEEPER or any(
        ";16" in str(tile) for tile in getattr(picture, "tile", ())
    ):  # 16-bit RGB opens as 8-bit RGB
        return Refusal.DEEPER_THAN_8_BITS
    if picture.mode == "CMYK":
        return Refusal.CMYK
    if "A" in picture.getbands() or "a" in picture.getbands() or "transparency" in picture.info:
        return Refusal.TRANSPARENT
    return None if picture.mode in CHANNELS else Refusal.NEITHER_GREY_NOR_RGB


def _by_name(folder: Path, refused: list[tuple[Path, Refusal]]) -> dict[str, Path]:
    found: dict[str, list[Path]] = {}
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    for path in sorted(files):
        if path.suffix.lower() in SUFFIXES:
            found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
        else:
            refused.append((path, Refusal.NOT_A_PICTURE))
    refused += [(path, Refusal.NAME_TWICE) for paths in found.values() if len(paths) > 1 for path in paths]
    return {name: paths[0] for name, paths in found.items() if len(paths) == 1}


def _patient_by_name(name: str) -> str:
    folder, _, rest = name.partition("/")
    if rest:
        return folder
    patient, separator, _ = name.partition("_")
    return patient if separator else ""


def _patients_by_list(path: Path) -> dict[str, str] | None:
    """Patient of each picture by its name without suffix; None where there is no list."""
    if not path.is_file():
        return None
    try:
        with path.open(encoding="utf-8-sig", newline="") as source:
            lines = list(csv.DictReader(source))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ScintiflowError(
            f"cannot be read ({type(error).__name__})", where=path, remedy="Save it as CSV in UTF-8"
        ) from None
    if not lines or not {"picture", "patient"} <= set(lines[0]):
        raise ScintiflowError(
            "has no columns 'picture' and 'patient', or no line", where=path, remedy="Give it picture,patient as head"
        )
    patients: dict[str, str] = {}
    for line in lines:
        name = Path((line["picture"] or "").strip())
        name = name.with_suffix("") if name.suffix.lower() in SUFFIXES else name
        patient = (line["patient"] or "").strip()
        if patients.setdefault(name.as_posix(), patient) != patient:
            raise ScintiflowError(
                f"gives the picture {name.as_posix()} to two patients", where=path, remedy="Keep one of the lines"
            )
    return patients
