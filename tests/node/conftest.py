import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "dicom"))  # dicom_samples


@pytest.fixture(scope="session")
def dcmtk(need) -> Callable[[str], str]:
    """`dcmtk("storescu")` is that program's path."""
    return lambda name: need("dcmtk", shutil.which(name))
