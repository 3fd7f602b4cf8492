"""What hospitals' exports hold besides good scans: synthetic, each case with what must become of it.

A case writes files into its own folder, all of patients of its own, so that one run takes in all cases.
"""

import gzip
import io
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from dicom_samples import HEADER, rapid_counts, rapid_object, standard_counts, standard_object
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    PositronEmissionTomographyImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from scintiflow.dicom.whole_body import object_bytes

Write = Callable[[Path, int], None]


@dataclass(frozen=True)
class Case:
    """`expected`: '<outcome> <code>' of each file, sorted; accepted files have no code."""

    name: str
    write: Write
    expected: tuple[str, ...]
    warnings: frozenset[str] = frozenset()


CASES: list[Case] = []


def _case(name: str, write: Write, *expected: str, warns: str = "") -> None:
    assert name not in {case.name for case in CASES}, name
    CASES.append(Case(name, write, tuple(sorted(expected)), frozenset(warns.split())))


def _bytes(dataset: Dataset, **options) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not options:
            return object_bytes(dataset)
        target = io.BytesIO()
        dataset.save_as(target, **options)
        return target.getvalue()


def _foreign(name: str, content: bytes, expected: str, file: str = "file.dcm") -> None:
    _case(name, lambda folder, seed: (folder / file).write_bytes(content + str(seed).encode()), expected)


def _changed(name: str, change: Callable[[Dataset], object], *expected: str, warns: str = "") -> None:
    """A lone standard scan after `change`: NO_RAPID if it is taken."""

    def write(folder: Path, seed: int) -> None:
        dataset = standard_object(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            change(dataset)
        (folder / "scan.dcm").write_bytes(_bytes(dataset))

    _case(name, write, *(expected or ("unpaired NO_RAPID",)), warns=warns)


def _spoilt(name: str, spoil: Callable[[bytes], bytes], expected: str) -> None:
    """The bytes of a good scan after `spoil`."""
    _case(name, lambda folder, seed: (folder / "s.dcm").write_bytes(spoil(_bytes(standard_object(seed)))), expected)


def _several(name: str, make: Callable[[int], list[Dataset]], *expected: str, warns: str = "") -> None:
    def write(folder: Path, seed: int) -> None:
        for number, dataset in enumerate(make(seed)):
            (folder / f"{number}.dcm").write_bytes(_bytes(dataset))

    _case(name, write, *expected, warns=warns)


def put(**values) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return change


def drop(*keywords: str) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        for keyword in keywords:
            delattr(dataset, keyword)

    return change


def pixels(alter: Callable[[np.ndarray], np.ndarray], **values) -> Callable[[Dataset], None]:
    """Altered counts with the right CountsAccumulated."""

    def change(dataset: Dataset) -> None:
        counts = alter(np.frombuffer(dataset.PixelData, "<u2").reshape(2, dataset.Rows, dataset.Columns).copy())
        dataset.PixelData, dataset.CountsAccumulated = counts.tobytes(), str(int(counts.sum(dtype=np.int64)))
        dataset.Rows, dataset.Columns = counts.shape[-2:]
        put(**values)(dataset)

    return change


def at(where: tuple, value: int) -> Callable[[np.ndarray], np.ndarray]:
    def alter(counts: np.ndarray) -> np.ndarray:
        counts[where] = value
        return counts

    return alter


def detectors(change: Callable[[Dataset, int], object]) -> Callable[[Dataset], None]:
    def apply(dataset: Dataset) -> None:
        for number, item in enumerate(dataset.DetectorInformationSequence):
            change(item, number)

    return apply


def both(*changes: Callable[[Dataset], object]) -> Callable[[Dataset], None]:
    def apply(dataset: Dataset) -> None:
        for change in changes:
            change(dataset)

    return apply


def other_uid(seed: int, end: str = "77") -> str:
    return f"1.2.826.0.1.3680043.8.{seed + 1}.{end}"


# --- files that are no DICOM objects ------------------------------------------------------------------


def _zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("scan.dcm", b"x" * 500)
    return target.getvalue()


def _tarred() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("scan.dcm"))
    return target.getvalue()


_foreign("empty file", b"", "ignored NOT_DICOM", "file")
_foreign("text", b"patient;value\n=1+1;2\n" * 20, "ignored NOT_DICOM", "list.csv")
_foreign("text named like an object", b"nothing in here", "quarantined CORRUPT")
_foreign("picture", b"\x89PNG\r\n\x1a\n" + bytes(300), "ignored NOT_DICOM", "picture.png")
_foreign("zip", _zipped(), "quarantined ARCHIVE", "export.zip")
_foreign("zip named like an object", _zipped(), "quarantined ARCHIVE")
_foreign("gzip", gzip.compress(b"x" * 500), "quarantined ARCHIVE", "export.gz")
_foreign("7z", b"7z\xbc\xaf\x27\x1c" + bytes(300), "quarantined ARCHIVE", "export.7z")
_foreign("rar", b"Rar!\x1a\x07\x00" + bytes(300), "quarantined ARCHIVE", "export.rar")
_foreign("bzip2", b"BZh9" + bytes(300), "quarantined ARCHIVE", "export.bz2")
_foreign("xz", b"\xfd7zXZ\x00" + bytes(300), "quarantined ARCHIVE", "export.xz")
_foreign("tar", _tarred(), "quarantined ARCHIVE", "export.tar")
_foreign("only the mark", bytes(128) + b"DICM", "quarantined NO_TRANSFER_SYNTAX")
_foreign("random after the mark", bytes(128) + b"DICM" + bytes(range(256)) * 8, "quarantined NO_TRANSFER_SYNTAX")
_foreign("zeros after the mark", bytes(128) + b"DICM" + bytes(4096), "quarantined NO_TRANSFER_SYNTAX")
_spoilt("no preamble", lambda whole: whole[132:], "quarantined NO_PREAMBLE")
_case(
    "DICOMDIR",
    lambda folder, seed: (folder / "DICOMDIR").write_bytes(Path(get_testdata_file("DICOMDIR")).read_bytes()),
    "ignored DICOMDIR",
)

# --- damaged files ------------------------------------------------------------------------------------

for share in (0.3, 0.7, 0.99):
    _spoilt(f"cut at {share}", lambda whole, share=share: whole[: int(len(whole) * share)], "quarantined TRUNCATED")
_spoilt("cut by one byte", lambda whole: whole[:-1], "quarantined TRUNCATED")
for end in (600, 900, 1300):
    _spoilt(f"cut in the header at {end}", lambda whole, end=end: whole[:end], "quarantined TRUNCATED")
_spoilt("cut in the file header", lambda whole: whole[:200], "quarantined NO_TRANSFER_SYNTAX")
_spoilt(
    "length beyond the file",
    lambda whole: whole.replace(b"\xe0\x7f\x10\x00OW\0\0", b"\xe0\x7f\x10\x00OW\0\0\xf0\xff\xff\xff")[:3000],
    "quarantined TRUNCATED",
)


def _nested(levels: int) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        item = Dataset()
        for _ in range(levels):
            outer = Dataset()
            outer.RequestAttributesSequence = Sequence([item])
            item = outer
        dataset.RequestAttributesSequence = item.RequestAttributesSequence

    return change


_changed("nesting of 60 sequences", _nested(60), "quarantined LIMIT_EXCEEDED")
_changed("nesting of 5 sequences", _nested(5))


def _deflated(folder: Path, seed: int, bomb: int = 0) -> None:
    """`bomb`: bytes of zeros after the dataset, which deflate to next to nothing."""
    dataset = standard_object(seed)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    whole = _bytes(dataset, enforce_file_format=True)
    if bomb:
        start = 144 + struct.unpack_from("<I", whole, 140)[0]  # after the file meta group
        inflated = zlib.decompress(whole[start:], -zlib.MAX_WBITS)
        deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        header = struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, bomb)
        packed = deflater.compress(inflated + header)
        for _ in range(bomb >> 20):
            packed += deflater.compress(bytes(2**20))
        whole = whole[:start] + packed + deflater.flush()
    (folder / "scan.dcm").write_bytes(whole)


_case("deflated", _deflated, "unpaired NO_RAPID")
_case(
    "deflated bomb",
    lambda folder, seed: _deflated(folder, seed, bomb=300 * 2**20),
    "quarantined LIMIT_EXCEEDED",
)


def _as_implicit(folder: Path, seed: int) -> None:
    dataset = standard_object(seed)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset["PixelData"].VR = "OW"
    (folder / "scan.dcm").write_bytes(_bytes(dataset, enforce_file_format=True))


def _as_big_endian(folder: Path, seed: int) -> None:
    dataset = standard_object(seed)
    dataset.PixelData = standard_counts(seed).astype(">u2").tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    (folder / "scan.dcm").write_bytes(_bytes(dataset, enforce_file_format=True))


_case("implicit VR", _as_implicit, "unpaired NO_RAPID")
_case("big endian", _as_big_endian, "unpaired NO_RAPID")
_changed("RLE lossless", lambda dataset: dataset.compress(RLELossless, generate_instance_uid=False))


def _rle_damaged(dataset: Dataset) -> None:
    dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.PixelData = dataset.PixelData[:200] + b"\xff" * (len(dataset.PixelData) - 400) + dataset.PixelData[-200:]


_changed("RLE damaged", _rle_damaged, "quarantined CORRUPT")


def _encapsulated_as(syntax: str) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = syntax

    return change


_changed("JPEG lossless without JPEG in it", _encapsulated_as(JPEGLosslessSV1), "quarantined CORRUPT")
_changed("JPEG baseline", _encapsulated_as("1.2.840.10008.1.2.4.50"), "quarantined LOSSY")
_changed("JPEG extended", _encapsulated_as("1.2.840.10008.1.2.4.51"), "quarantined LOSSY")
_changed("JPEG-LS near-lossless", _encapsulated_as("1.2.840.10008.1.2.4.81"), "quarantined LOSSY")
_changed("MPEG-4", _encapsulated_as("1.2.840.10008.1.2.4.102"), "quarantined UNSUPPORTED_TRANSFER_SYNTAX")
_spoilt(
    "private syntax",
    lambda whole: whole.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.99999.1.2.1\0"),
    "quarantined UNSUPPORTED_TRANSFER_SYNTAX",
)
_case(
    "real scan compressed 2097:1",
    lambda folder, seed: (folder / "ge.dcm").write_bytes(Path(get_testdata_file("JPEG2000.dcm")).read_bytes()),
    "quarantined LOSSY",
)
_case(
    "real adult scan",
    lambda folder, seed: (folder / "ge.dcm").write_bytes(Path(get_testdata_file("JPEG-LL.dcm")).read_bytes()),
    "unpaired VELOCITY_OUT_OF_PROTOCOL",
    warns="SOPCLASS_SC DERIVED_LOSSLESS VIEW_UNKNOWN AGE_UNKNOWN",
)


def _ge_cut(folder: Path, seed: int) -> None:
    whole = Path(get_testdata_file("JPEG-LL.dcm")).read_bytes()
    (folder / "ge.dcm").write_bytes(whole[: len(whole) * 2 // 3])


_case("real scan cut", _ge_cut, "quarantined TRUNCATED")

# --- objects of another kind --------------------------------------------------------------------------

_changed("CT", put(Modality="CT", SOPClassUID=CTImageStorage), "quarantined WRONG_MODALITY")
_changed("NM class, CT modality", put(Modality="CT"), "quarantined WRONG_MODALITY")
for named, uid, modality in (
    ("PET", PositronEmissionTomographyImageStorage, "PT"),
    ("PDF", EncapsulatedPDFStorage, "DOC"),
    ("unknown class", "1.2.3.4.5", "NM"),
):

    def _reclassed(dataset: Dataset, uid=uid, modality=modality) -> None:
        dataset.SOPClassUID, dataset.Modality = uid, modality
        dataset.file_meta.MediaStorageSOPClassUID = uid

    _changed(named, _reclassed, "quarantined WRONG_MODALITY")


def _secondary_capture(dataset: Dataset) -> None:
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage


_changed("NM as secondary capture", _secondary_capture, warns="SOPCLASS_SC")
for kind in ("STATIC", "TOMO", "RECON TOMO", "GATED", "DYNAMIC"):
    _changed(kind, put(ImageType=["ORIGINAL", "PRIMARY", kind, "EMISSION"]), "quarantined WRONG_IMAGE_TYPE")
_changed(
    "transmission",
    put(ImageType=["ORIGINAL", "PRIMARY", "WHOLE BODY", "TRANSMISSION"]),
    "quarantined WRONG_IMAGE_TYPE",
)
_changed("image type of two values", put(ImageType=["ORIGINAL", "PRIMARY"]), "quarantined WRONG_IMAGE_TYPE")
_changed("no image type", drop("ImageType"), "quarantined WRONG_IMAGE_TYPE")
_changed("image type with underline", put(ImageType=["ORIGINAL", "PRIMARY", "WHOLE_BODY", "EMISSION"]))
DERIVED = ["DERIVED", "PRIMARY", "WHOLE BODY", "EMISSION"]
_changed("derived, sum intact", put(ImageType=DERIVED), warns="DERIVED_LOSSLESS")
_changed("derived, sum wrong", put(ImageType=DERIVED, CountsAccumulated="17"), "quarantined DERIVED_INPUT")
_changed("derived, no sum", put(ImageType=DERIVED, CountsAccumulated=""), "quarantined DERIVED_INPUT")
_changed("lossy flag", put(LossyImageCompression="01"), "quarantined LOSSY")
_changed("burned-in text", put(BurnedInAnnotation="YES"), "quarantined BURNED_IN")
_changed("burned-in text, lower case", put(BurnedInAnnotation="yes"), "quarantined BURNED_IN")
_changed("rescaled", put(RescaleSlope="2.5", RescaleIntercept="0"), "quarantined RESCALE_PRESENT")
_changed("rescale intercept", put(RescaleSlope="1", RescaleIntercept="-10"), "quarantined RESCALE_PRESENT")
_changed("rescale by one", put(RescaleSlope="1", RescaleIntercept="0"))

# --- pixels -------------------------------------------------------------------------------------------

_changed("no pixels", drop("PixelData"), "quarantined NO_PIXEL_DATA")
_changed("empty pixels", put(PixelData=b""), "quarantined NO_PIXEL_DATA")
_changed("inverted", put(PhotometricInterpretation="MONOCHROME1"), "quarantined PIXEL_FORMAT")
_changed("colour", put(PhotometricInterpretation="RGB", SamplesPerPixel=3), "quarantined PIXEL_FORMAT")
_changed("palette", put(PhotometricInterpretation="PALETTE COLOR"), "quarantined PIXEL_FORMAT")
_changed("32 bits", put(BitsAllocated=32, BitsStored=32, HighBit=31), "quarantined PIXEL_FORMAT")
_changed("high bit of nonsense", put(HighBit=3), "quarantined PIXEL_FORMAT")
_changed("bits stored 0", put(BitsStored=0), "quarantined PIXEL_FORMAT")
_changed("sign of nonsense", put(PixelRepresentation=2), "quarantined PIXEL_FORMAT")
_changed("no bits allocated", drop("BitsAllocated"), "quarantined PIXEL_FORMAT")
_changed("rows of nonsense", put(Rows=64, Columns=256), "quarantined MATRIX")
_changed("no rows", drop("Rows"), "quarantined MATRIX")
_changed("zero columns", put(Columns=0), "quarantined MATRIX")
_changed("matrix of 65535", put(Rows=65535, Columns=65535), "quarantined LIMIT_EXCEEDED")
_changed("2147483647 frames", put(NumberOfFrames="2147483647"), "quarantined LIMIT_EXCEEDED")
_changed("zero frames", put(NumberOfFrames="0"), "quarantined FRAME_COUNT")
_changed("negative frames", put(NumberOfFrames="-2"), "quarantined FRAME_COUNT")
_changed("a frame dropped", put(NumberOfFrames=1), "quarantined FRAME_COUNT")
_changed(
    "a frame too few in the pixels",
    put(NumberOfFrames=3, EnergyWindowVector=[1, 1, 1], DetectorVector=[1, 2, 1]),
    "quarantined TRUNCATED",
)
_changed(
    "pixels of one view", lambda d: put(PixelData=d.PixelData[: len(d.PixelData) // 2])(d), "quarantined TRUNCATED"
)
_changed("more pixels than announced", lambda d: put(PixelData=d.PixelData + bytes(64))(d), "quarantined FRAME_COUNT")
_changed("negative counts", pixels(at((0, 5, 5), 65529), PixelRepresentation=1), "quarantined NEGATIVE_COUNTS")
_changed("signed but positive", put(PixelRepresentation=1))
_changed("saturated", pixels(at((1, 9, 9), 65535)), "quarantined SATURATED")
_changed("saturated in 12 bits", pixels(at((1, 9, 9), 4095), BitsStored=12, HighBit=11), "quarantined SATURATED")
_changed("saturated in signed pixels", pixels(at((1, 9, 9), 32767), PixelRepresentation=1), "quarantined SATURATED")
_changed("an empty view", pixels(at((1,), 0)), "quarantined EMPTY_IMAGE")
_changed("no counts at all", pixels(lambda counts: counts * 0), "quarantined EMPTY_IMAGE")
_changed("hardly any counts", pixels(lambda counts: counts // 12), "quarantined LOW_COUNTS")
_changed("wrong sum", put(CountsAccumulated="12"), warns="COUNTS_MISMATCH")
_changed("no sum", put(CountsAccumulated=""))

# --- geometry, views, windows -------------------------------------------------------------------------

_changed("no spacing", drop("PixelSpacing"), "quarantined GEOMETRY")
_changed("not square", put(PixelSpacing=["4.8", "2.4"]), "quarantined GEOMETRY")
_changed("spacing zero", put(PixelSpacing=["0", "0"]), "quarantined GEOMETRY")
_changed("spacing in cm", put(PixelSpacing=["0.48", "0.48"]), "quarantined GEOMETRY")
_changed("negative spacing", put(PixelSpacing=["-4.8", "-4.8"]), "quarantined GEOMETRY")
_changed("detector vector beyond", put(DetectorVector=[1, 7]), "quarantined FRAME_VECTOR")
_changed("detector vector too long", put(DetectorVector=[1, 2, 1]), "quarantined FRAME_VECTOR")
_changed("no detector vector", drop("DetectorVector"), "quarantined FRAME_VECTOR")
_changed("window vector points nowhere", put(EnergyWindowVector=[1, 2]), "quarantined FRAME_VECTOR")
_changed(
    "the same view twice",
    detectors(lambda item, number: setattr(item.ViewCodeSequence[0], "CodeValue", "399321004")),
    "quarantined VIEW_CONFLICT",
)
_changed(
    "no codes, angles tell", detectors(lambda item, number: delattr(item, "ViewCodeSequence")), warns="VIEW_INFERRED"
)


def _blind(item: Dataset, number: int) -> None:
    del item.ViewCodeSequence, item.StartAngle


_changed("nothing tells the views", detectors(_blind), "quarantined VIEW_UNKNOWN", warns="VIEW_UNKNOWN")
_changed(
    "angles against codes",
    detectors(lambda item, number: setattr(item, "StartAngle", str(180 * number))),
    warns="VIEW_ANGLE",
)


def _lateral(dataset: Dataset) -> None:
    for item in dataset.DetectorInformationSequence:
        code = item.ViewCodeSequence[0]
        code.CodeValue, code.CodeMeaning, item.StartAngle = "399012009", "Left lateral", "90"


_changed("lateral views", _lateral, "quarantined VIEW_UNKNOWN")


def _one_view(dataset: Dataset, number: int) -> Dataset:
    """One view of a scan as an object of its own."""
    counts = np.frombuffer(dataset.PixelData, "<u2").reshape(2, dataset.Rows, dataset.Columns)[number]
    dataset.PixelData, dataset.CountsAccumulated = counts.tobytes(), str(int(counts.sum()))
    dataset.NumberOfFrames, dataset.EnergyWindowVector, dataset.DetectorVector = 1, [1], [1]
    dataset.NumberOfDetectors = 1
    dataset.DetectorInformationSequence = [dataset.DetectorInformationSequence[number]]
    uid = f"{dataset.SOPInstanceUID}.{number + 1}"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    return dataset


def halves(make: Callable[..., Dataset], seed: int, **changes) -> list[Dataset]:
    return [_one_view(make(seed, **changes), number) for number in range(2)]


_changed("one view alone", lambda dataset: _one_view(dataset, 0), "quarantined INCOMPLETE_SCAN")
_several(
    "views in two files", lambda seed: halves(standard_object, seed), *["unpaired NO_RAPID"] * 2, warns="VIEWS_JOINED"
)


def _told_by_names(seed: int) -> list[Dataset]:
    made = halves(standard_object, seed)
    for dataset, name in zip(made, ("ANTERIOR_H1", "POSTERIOR_H2"), strict=True):
        dataset.ImageID = name
        _blind(dataset.DetectorInformationSequence[0], 0)
    return made


_several(
    "views in two files, told by their names",
    _told_by_names,
    *["unpaired NO_RAPID"] * 2,
    warns="VIEWS_JOINED VIEW_INFERRED",
)
_several(
    "a pair in four files",
    lambda seed: [*halves(standard_object, seed), *halves(rapid_object, seed)],
    *["accepted"] * 4,
    warns="VIEWS_JOINED",
)
_several(
    "views of two acquisitions",
    lambda seed: [
        _one_view(standard_object(seed), 0),
        _one_view(standard_object(seed, acquired=HEADER.acquired + timedelta(hours=1)), 1),
    ],
    *["quarantined INCOMPLETE_SCAN"] * 2,
)


def _iodine(dataset: Dataset) -> None:
    code = dataset.RadiopharmaceuticalInformationSequence[0].RadionuclideCodeSequence[0]
    code.CodeValue, code.CodeMeaning = "1368003", "^131^Iodine"


_changed("iodine", _iodine, "quarantined WRONG_RADIONUCLIDE")


def _window_of_iodine(dataset: Dataset) -> None:
    limits = dataset.EnergyWindowInformationSequence[0].EnergyWindowRangeSequence[0]
    limits.EnergyWindowLowerLimit, limits.EnergyWindowUpperLimit = "328", "400"


_changed("energy window of iodine", _window_of_iodine, "quarantined WRONG_RADIONUCLIDE")
_changed("no energy window described", put(EnergyWindowInformationSequence=[]))
_changed("no radionuclide named", put(RadiopharmaceuticalInformationSequence=[]))

# --- velocity -----------------------------------------------------------------------------------------

_changed("velocity unknown", put(ScanVelocity="", ScanLength=""), "quarantined VELOCITY_UNKNOWN")
_changed("velocity empty", put(ScanVelocity=""), warns="VELOCITY_INFERRED")
_changed("velocity zero", put(ScanVelocity="0"), warns="VELOCITY_INFERRED")
_changed("velocity negative", put(ScanVelocity="-3.3"), "quarantined VELOCITY_INVALID")
_changed("velocity in cm/min", put(ScanVelocity="20"), "quarantined VELOCITY_UNITS")
_changed("velocity in cm/min, no length", put(ScanVelocity="20", ScanLength=""), "quarantined VELOCITY_UNITS")
_changed("velocity against the length", put(ScanVelocity="6.667"), "quarantined VELOCITY_CONFLICT")
_changed("velocity of nonsense", put(ScanVelocity="9000", ScanLength=""), "quarantined VELOCITY_INVALID")
_changed("velocity tiny", put(ScanVelocity="0.001", ScanLength=""), "quarantined VELOCITY_INVALID")
_changed("velocity of another protocol", put(ScanVelocity="1.67", ScanLength=""), "unpaired VELOCITY_OUT_OF_PROTOCOL")

# --- identity, dates, ages ----------------------------------------------------------------------------

_changed("object UID malformed", put(SOPInstanceUID="1.2.03"), "quarantined UID_INVALID")
_changed("object UID too long", put(SOPInstanceUID="1." + "2" * 70), "quarantined UID_INVALID")
_changed("no study UID", put(StudyInstanceUID=""), "quarantined UID_INVALID")
_changed("no series UID", drop("SeriesInstanceUID"), "quarantined UID_INVALID")
_changed("path as UID", put(StudyInstanceUID="../../etc"), "quarantined UID_INVALID")
_changed("blank patient ID", put(PatientID="  "), "quarantined NO_PATIENT_ID")
_changed("no patient ID", drop("PatientID"), "quarantined NO_PATIENT_ID")
_changed("path as patient ID", lambda dataset: put(PatientID=f"../../{dataset.PatientID}")(dataset))
_changed("no dates", drop("AcquisitionDate", "ContentDate", "SeriesDate"), "quarantined DATE_INVALID")
_changed(
    "dates of nonsense", put(AcquisitionDate="20241399", ContentDate="", SeriesDate=""), "quarantined DATE_INVALID"
)
_changed("time of nonsense", put(AcquisitionTime="997799", ContentTime="", SeriesTime=""), "quarantined DATE_INVALID")
_changed("outdated date", put(PatientBirthDate="2015.03.04"), warns="DATE_FORMAT")
_changed("unknown age", put(PatientBirthDate="00000000", PatientAge=""), warns="AGE_UNKNOWN")
_changed("born after the scan", put(PatientBirthDate="20990101", PatientAge=""), warns="AGE_UNKNOWN")
_changed("adult", put(PatientBirthDate="19550101", PatientAge="069Y"), "quarantined AGE_OUT_OF_RANGE")
_changed("unknown character set", put(SpecificCharacterSet="ISO_IR 999"), warns="CHARSET")
_changed("size and weight of nonsense", put(PatientSize="0", PatientWeight="99999"))


def _other_file_uid(folder: Path, seed: int) -> None:
    dataset = standard_object(seed)
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    dataset.preamble = bytes(128)
    target = io.BytesIO()
    dataset.save_as(target, enforce_file_format=False)
    (folder / "scan.dcm").write_bytes(target.getvalue())


_case("file header names another UID", _other_file_uid, "quarantined UID_MISMATCH")


def _formula(dataset: Dataset) -> None:
    dataset.SeriesDescription, dataset.ImageComments = "=cmd|' /C calc'!A0", "<script>alert(1)</script>"


_changed("formula and markup in texts", _formula)

# --- several files of a patient -----------------------------------------------------------------------


def _pair(seed: int, **changes) -> list[Dataset]:
    return [rapid_object(seed, **changes), standard_object(seed)]


def _with_counts(dataset: Dataset, counts: np.ndarray) -> Dataset:
    dataset.PixelData, dataset.CountsAccumulated = counts.astype("<u2").tobytes(), ""
    return dataset


_several("a good pair", _pair, "accepted", "accepted")
_several("a rapid scan alone", lambda seed: [rapid_object(seed)], "unpaired NO_STANDARD")
_several("a day apart", lambda seed: _pair(seed, minutes_later=1500), *["unpaired PAIR_TOO_FAR"] * 2)
_several(
    "in two studies",
    lambda seed: _pair(seed, study_uid=other_uid(seed)),
    "accepted",
    "accepted",
    warns="PAIR_CROSS_STUDY",
)
_several(
    "identical counts",
    lambda seed: [_with_counts(rapid_object(seed), standard_counts(seed)), standard_object(seed)],
    *["quarantined PAIR_IDENTICAL"] * 2,
)
_several(
    "counts against velocities",
    lambda seed: [_with_counts(rapid_object(seed), standard_counts(seed) + 1), standard_object(seed)],
    *["quarantined PAIR_COUNTS_RATIO"] * 2,
)


def _wider(seed: int) -> Dataset:
    counts = np.pad(rapid_counts(seed), ((0, 0), (0, 0), (8, 8)))
    dataset = _with_counts(rapid_object(seed), counts)
    dataset.Columns = counts.shape[2]
    return dataset


_several("two matrices", lambda seed: [_wider(seed), standard_object(seed)], *["quarantined PAIR_MISMATCH"] * 2)
_several(
    "two spacings",
    lambda seed: _pair(seed, spacing_mm=4.0),
    *["quarantined PAIR_MISMATCH"] * 2,
)
_several(
    "two rapid scans",
    lambda seed: [
        *_pair(seed),
        _with_counts(rapid_object(seed, 30, instance_uid=other_uid(seed)), np.roll(rapid_counts(seed), 3, 1)),
    ],
    *["quarantined AMBIGUOUS_PAIR"] * 3,
)
_several("twice the same file", lambda seed: [standard_object(seed)] * 2, "ignored DUPLICATE", "unpaired NO_RAPID")


def _respelt(seed: int, **changes) -> Dataset:
    dataset = standard_object(seed, **changes)
    dataset.InstitutionName = "another spelling"
    return dataset


_several(
    "the same object in other bytes",
    lambda seed: [standard_object(seed), _respelt(seed)],
    "ignored DUPLICATE",
    "unpaired NO_RAPID",
)
_several(
    "the same counts under another UID",
    lambda seed: [standard_object(seed), _respelt(seed, instance_uid=other_uid(seed))],
    "ignored DUPLICATE_PIXELS",
    "unpaired NO_RAPID",
)
_several(
    "one UID, two contents",
    lambda seed: [standard_object(seed), _with_counts(standard_object(seed), standard_counts(seed) + 1)],
    *["quarantined UID_COLLISION"] * 2,
)
_several(
    "two patients with one ID",
    lambda seed: [standard_object(seed), rapid_object(seed, birth_date="20110101", sex="M")],
    *["quarantined PATIENT_CONFLICT"] * 2,
)
