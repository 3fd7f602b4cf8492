"""Blob children, once for all tests of the evaluation."""

import pytest
from blob_children import Cohort, anatomy, build_cohort, small_evaluation

from scintiflow.params import EvaluateParams


@pytest.fixture(scope="session")
def cohort(tmp_path_factory) -> Cohort:
    return build_cohort(tmp_path_factory.mktemp("cohort"), {"validation": 1, "test": 4})


@pytest.fixture(scope="session")
def real_cohort(tmp_path_factory) -> Cohort:
    return build_cohort(tmp_path_factory.mktemp("real"), {"validation": 1, "test": 2}, with_truth=False)


@pytest.fixture
def draw_anatomy():
    """The function that draws a child of these cohorts, by the generator [7, number of the child]."""
    return anatomy


@pytest.fixture(scope="session")
def params() -> EvaluateParams:
    return small_evaluation()
