"""The reference names every code with the very sentence and remedy that the product prints."""

import re
from dataclasses import fields
from itertools import dropwhile, takewhile
from pathlib import Path

from scintiflow.cohorts.ledger import FORMAT, Entry, Override
from scintiflow.dicom.reasons import Notice, Reason
from scintiflow.dicom.scan import ScanSummary

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "cohorts.md").read_text(encoding="utf-8")


def rows(heading: str) -> dict[str, list[str]]:
    """The first table after `heading`: its cells by the first of each row."""
    lines = PAGE.split(heading, 1)[1].splitlines()
    table = takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: not line.startswith("|"), lines))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in list(table)[2:]]
    return {row[0].strip("`"): row[1:] for row in cells}


def test_every_reason_is_there_as_the_product_says_it():
    assert rows("## Codes") == {
        reason.name: [
            reason.outcome.value,
            f"{reason.sentence}.",
            f"{reason.remedy}.",
            "yes" if reason.may_be_overruled else "",
        ]
        for reason in Reason
    }


def test_every_warning_is_there():
    assert rows("Warnings never change") == {notice.name: [notice.value] for notice in Notice}


def test_the_schema_is_that_of_the_code():
    assert f"format {FORMAT}" in PAGE
    named = set(re.findall(r"`(\w+)`", PAGE))
    for described in (Entry, Override, ScanSummary):
        assert {field.name for field in fields(described)} <= named
