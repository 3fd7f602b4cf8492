"""The view that checks look through says what pydicom says, whatever other files have been read before."""

from collections.abc import Iterator

import pytest
from dicom_samples import standard_object
from mutations import mutated, templates
from planted import MULTI_BYTE, planted_scan
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from scintiflow.dicom.attributes import Attributes
from scintiflow.dicom.header import text
from scintiflow.dicom.opening import parse, silenced
from scintiflow.dicom.reasons import Rejection


def differences(view: Attributes, dataset: Dataset) -> Iterator[str]:
    """Tags of which the view says something else than the dataset."""
    assert view.tags() == set(dataset.keys())
    for tag in view.tags():
        seen, told = said(lambda tag=tag: view.element(tag)), said(lambda tag=tag: pydicom_says(dataset, tag))
        if isinstance(told[1], Sequence):
            assert len(seen[1]) == len(told[1])
            for one, other in zip(seen[1], told[1], strict=True):
                yield from differences(one, other)
        elif (seen[0], repr(seen[1])) != (told[0], repr(told[1])):
            yield f"{tag:08x}"


def pydicom_says(dataset: Dataset, tag: int) -> tuple:
    return dataset[tag].VR, dataset[tag].value


def said(look) -> tuple:
    try:
        return look()
    except Exception as error:
        return "raises", type(error).__name__


def parsed(content: bytes) -> Dataset | None:
    try:
        return parse(content)
    except Rejection:
        return None


@pytest.mark.parametrize("number", range(len(templates())))
def test_it_says_what_pydicom_says_of_every_attribute(number):
    content = templates()[number]
    with silenced():
        assert [*differences(Attributes(parse(content)), parse(content))] == []


def test_it_says_what_pydicom_says_of_damaged_files():
    compared = 0
    for number in range(400):
        dataset = parsed(mutated(number))
        if dataset is not None:
            with silenced():
                assert [*differences(Attributes(dataset), parse(mutated(number)))] == [], number
            compared += 1
    assert compared > 40


def test_equal_bytes_in_another_character_set_are_another_text():
    for charset in MULTI_BYTE:
        content = planted_scan(1, True, charset).content
        with silenced():
            view = Attributes(parse(content))
            assert [*differences(view, parse(content))] == []
            assert str(view.get("PatientName")) == MULTI_BYTE[charset]


def test_missing_attributes_have_the_default():
    view = Attributes(standard_object())
    assert view.get("PatientComments") is None
    assert view.get("PatientComments", "none") == "none"
    assert "PatientComments" not in view
    assert "PatientID" in view


def test_a_sequence_in_the_place_of_a_text_is_no_text():
    with pytest.raises(TypeError):
        text(Attributes(standard_object()), "DetectorInformationSequence")
