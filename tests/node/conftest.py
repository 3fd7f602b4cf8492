import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "dicom"))  # dicom_samples


@pytest.fixture(scope="session")
def dcmtk(need) -> Callable[[str], str]:
    """`dcmtk("storescu")` is its path; pynetdicom's scripts of the same names, beside Python, are not it."""
    beside = Path(sys.prefix) / "bin"
    elsewhere = os.pathsep.join(place for place in os.get_exec_path() if Path(place) != beside)
    return lambda name: need("dcmtk", shutil.which(name, path=elsewhere))
