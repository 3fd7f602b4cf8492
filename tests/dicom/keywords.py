"""Datasets as values by keyword, the form in which de-identification builds them, and back."""

from typing import Any

from pydicom.dataset import Dataset


def by_keyword(dataset: Dataset) -> dict[str, Any]:
    """Every attribute that has a keyword; items of sequences are dicts as well."""
    return {
        element.keyword: [by_keyword(item) for item in element.value] if element.VR == "SQ" else element.value
        for element in dataset
        if element.keyword
    }


def as_dataset(values: dict[str, Any]) -> Dataset:
    """The other way round; sequences that are encoded already are left out."""
    dataset = Dataset()
    for keyword, value in values.items():
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            setattr(dataset, keyword, [as_dataset(item) for item in value])
        elif not keyword.endswith("Sequence"):
            setattr(dataset, keyword, value)
    return dataset
