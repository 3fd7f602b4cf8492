"""One small cohort for every test of packing."""

import shutil
import sys
from pathlib import Path

import pytest
from small_ward import add_ward

sys.path.append(str(Path(__file__).parents[1] / "cohorts"))  # versioned_project


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """Cohorts that nobody may change."""
    return add_ward(tmp_path_factory.mktemp("ward"))


@pytest.fixture
def cohorts(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "cohorts"))
