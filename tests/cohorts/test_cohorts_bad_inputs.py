"""Every kind of bad input in one export: each ends as it must, and none harms the others."""

from collections import Counter, defaultdict

import pytest
from bad_inputs import CASES
from dicom_samples import KEY, PROTOCOL

from scintiflow.cohorts.add import add_cohort

FIRST_SEED = 100


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    """'<outcome> <code>' and warnings of each file, by case."""
    export = tmp_path_factory.mktemp("export")
    for number, case in enumerate(CASES):
        folder = export / f"{number:03d}"
        folder.mkdir()
        case.write(folder, FIRST_SEED + number)
    report = add_cohort(
        export, "ward", protocol=PROTOCOL, key=KEY, cohorts=tmp_path_factory.mktemp("cohorts"), workers=2
    )
    assert report.walked == len(report.ledger.entries) == sum(report.ledger.outcomes.values())
    outcomes, warnings = defaultdict(list), defaultdict(set)
    for entry in report.ledger.entries:
        (number,) = {path.parent.name for path in report.locations[entry.sha256]}
        outcomes[int(number)].append(f"{entry.outcome} {entry.code}".strip())
        warnings[int(number)].update(entry.warnings)
    return outcomes, warnings


def test_there_are_enough_cases_and_they_cover_the_codes():
    assert len(CASES) >= 80
    codes = Counter(outcome.split()[-1] for case in CASES for outcome in set(case.expected))
    assert len(codes) >= 40


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_it_ends_as_it_must(settled, number):
    outcomes, warnings = settled
    assert tuple(sorted(outcomes[number])) == CASES[number].expected
    assert CASES[number].warnings <= warnings[number]
