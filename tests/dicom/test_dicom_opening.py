"""The short way through pydicom's parser against `dcmread`, on whole and on injured files."""

from io import BytesIO

import pydicom
import pytest
from mutations import mutated, templates
from pydicom.dataset import Dataset

from scintiflow.dicom.opening import _read, silenced

INJURED = 400


def attempt(read, content: bytes) -> tuple[Dataset | None, Dataset | None, str]:
    """What `read` makes of a file: file meta and dataset, or the name of its error."""
    with silenced():
        try:
            dataset = read(content)
            return dataset.file_meta, dataset, ""
        except Exception as error:
            return None, None, type(error).__name__


def elements(dataset: Dataset | None) -> list[str]:
    """Every element, or the name of the error that it gives."""
    found = []
    with silenced():
        for tag in sorted(dataset.keys()) if dataset is not None else ():
            try:
                found.append(f"{tag} {dataset[tag]!r}")
            except Exception as error:
                found.append(f"{tag} {type(error).__name__}")
    return found


@pytest.mark.parametrize("content", [*templates(), templates()[0][:1000], templates()[0][:200]])
def test_whole_and_cut_files_are_read_as_dcmread_reads_them(content):
    check(content)


def test_injured_files_are_read_as_dcmread_reads_them():
    for number in range(INJURED):
        check(mutated(number))


def check(content: bytes) -> None:
    if content[128:132] != b"DICM":
        return
    ours = attempt(_read, content)
    theirs = attempt(lambda content: pydicom.dcmread(BytesIO(content)), content)
    assert (ours[0] is None, ours[2]) == (theirs[0] is None, theirs[2])
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        assert elements(mine) == elements(other)
