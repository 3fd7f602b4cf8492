"""Our writer of de-identified objects against pydicom's."""

import hashlib
import warnings

import numpy as np
import pytest
from dicom_samples import KEY, rapid_object, standard_counts, standard_object
from hypothesis import given
from hypothesis import strategies as st
from keywords import by_keyword
from mutations import templates
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from scintiflow.dicom.attributes import Attributes
from scintiflow.dicom.deidentification import deidentified_file
from scintiflow.dicom.encoding import encoded
from scintiflow.dicom.opening import Opened, parse
from scintiflow.dicom.pixels import decode_frames, frame_sums
from scintiflow.dicom.reading import scan_of
from scintiflow.dicom.whole_body import object_bytes, write_pixels


def written_by_us(dataset: Dataset) -> bytes:
    pixels = {"PixelData": memoryview(dataset.PixelData)}
    return bytes(encoded(by_keyword(dataset) | pixels, by_keyword(dataset.file_meta)))


def ascii_only(dataset: Dataset) -> Dataset:
    dataset.PatientName = dataset.InstitutionName = dataset.ReferringPhysicianName = "Plain^Name"
    return dataset


@pytest.mark.parametrize("make", [standard_object, rapid_object])
def test_whole_objects_have_the_bytes_of_pydicom(make):
    dataset = ascii_only(make(4))
    dataset.CorrectedImage = ["UNIF", "DECY", "SCAT"]
    dataset.TableTraverse = "-12.50"
    dataset.NumberOfFrames, dataset.EnergyWindowVector = 2, 1  # one value where there may be several
    dataset.DetectorInformationSequence[0].ViewCodeSequence = []
    dataset.StudyID, dataset.PatientOrientation = "", ""
    assert written_by_us(dataset) == object_bytes(dataset)


@pytest.mark.parametrize("number", range(5))
def test_deidentified_objects_have_the_bytes_of_pydicom(number, tmp_path):
    opened = Opened(parse(templates()[number]), "")
    made = deidentified_file(opened, scan_of(opened), KEY)
    made.write(tmp_path / "object.dcm")
    written = (tmp_path / "object.dcm").read_bytes()
    assert (bytes(made), made.sha256()) == (written, hashlib.sha256(written).hexdigest())
    assert parse(made.header, made.pixels) == parse(written)
    again = Dataset()
    again.file_meta = parse(written).file_meta
    for element in parse(written):  # decoded value by value, so that pydicom has to encode each
        again[element.tag] = element
    assert object_bytes(again) == written


def test_a_file_without_pixels_at_its_end_is_refused():
    dataset = ascii_only(standard_object())
    with pytest.raises(TypeError, match="PixelData"):
        encoded(by_keyword(dataset) | {"PixelData": None}, {})


@given(st.integers(1, 2**16 - 2), st.integers(1, 2), st.integers(1, 40), st.integers(0, 2**32))
def test_sums_of_frames_are_exact(largest, frames, rows, seed):
    drawn = np.random.default_rng(seed).integers(0, largest, (frames, rows, 48), dtype=np.uint16, endpoint=True)
    assert frame_sums(drawn) == [sum(frame.ravel().tolist()) for frame in drawn]


def test_texts_beyond_ascii_are_refused():
    dataset = ascii_only(standard_object())
    dataset.PatientName = "M\u00fcller"
    with pytest.raises(UnicodeEncodeError):
        written_by_us(dataset)


@pytest.mark.parametrize(("stored", "sign"), [(16, 0), (16, 1), (15, 0), (12, 1)])
def test_native_words_are_decoded_as_pydicom_does(stored, sign):
    dataset = standard_object()
    write_pixels(dataset, np.minimum(standard_counts(), 2000).astype(np.uint16))
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = stored, stored - 1, sign
    for made in (dataset, _big_endian(dataset)):
        for image in (made, Attributes(made)):
            assert np.array_equal(decode_frames(image), made.pixel_array)
            assert np.array_equal(decode_frames(image), np.minimum(standard_counts(), 2000))


def _big_endian(dataset: Dataset) -> Dataset:
    swapped = Dataset()
    swapped.update(dataset)
    swapped.file_meta = dataset.file_meta.__class__()
    swapped.file_meta.update(dataset.file_meta)
    swapped.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    swapped.PixelData = np.frombuffer(dataset.PixelData, dtype="<u2").byteswap().tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        swapped["PixelData"].VR = "OW"
    return swapped
