"""A patient's place depends on nothing but the pseudonym and the seed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scintiflow.dataset.split import check_split_sizes, patients_per_split, split_of
from scintiflow.errors import ScintiflowError
from scintiflow.params import SplitParams

PARAMS = SplitParams(seed=1, train=0.7, validation=0.12, smallest_train=3, smallest_validation=1, smallest_test=1)
pseudonyms = st.from_regex(r"P-[0-9a-f]{16}", fullmatch=True)


@settings(deadline=None, max_examples=50)
@given(st.sets(pseudonyms), st.sets(pseudonyms))
def test_new_patients_move_nobody(earlier, later):
    before = {patient: split_of(patient, PARAMS) for patient in earlier}
    after = {patient: split_of(patient, PARAMS) for patient in sorted(later | earlier)}
    assert all(after[patient] == split for patient, split in before.items())
    assert sum(patients_per_split(earlier | later, PARAMS).values()) == len(earlier | later)


@settings(deadline=None, max_examples=50)
@given(pseudonyms, st.floats(0.05, 0.6))
def test_a_larger_training_share_takes_nobody_out_of_training(patient, share):
    smaller = PARAMS.model_copy(update={"train": share})
    larger = PARAMS.model_copy(update={"train": share + 0.2})
    if split_of(patient, smaller) == "train":
        assert split_of(patient, larger) == "train"


def test_shares_are_kept_and_seeds_differ():
    patients = [f"P-{number:016x}" for number in range(20000)]
    sizes = patients_per_split(patients, PARAMS)
    assert sizes["train"] / 20000 == pytest.approx(0.7, abs=0.01)
    assert sizes["validation"] / 20000 == pytest.approx(0.12, abs=0.01)
    other = PARAMS.model_copy(update={"seed": 2})
    assert any(split_of(patient, other) != split_of(patient, PARAMS) for patient in patients[:50])


def test_a_patient_with_two_studies_counts_once():
    assert sum(patients_per_split(["P-1", "P-1", "P-2"], PARAMS).values()) == 2


def test_too_few_patients_are_named_with_their_numbers():
    with pytest.raises(ScintiflowError, match=r"train split has 2 patients, 3 are needed.*smallest_train"):
        check_split_sizes({"train": 2, "validation": 5, "test": 5}, PARAMS)
    check_split_sizes({"train": 3, "validation": 1, "test": 1}, PARAMS)
