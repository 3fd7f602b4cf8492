"""A change in the code of a stage changes the version of that stage and of those that use the code, no others."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import scintiflow
from scintiflow.stages.graph import BY_NAME

VERSIONS = """
import json
from scintiflow.stages.code_version import code_version
from scintiflow.stages.graph import BY_NAME
print(json.dumps({name: code_version(name) for name in BY_NAME}))
"""


def versions(copy: Path) -> dict[str, str]:
    environment = os.environ | {"PYTHONPATH": str(copy)}
    result = subprocess.run(
        [sys.executable, "-c", VERSIONS], env=environment, cwd=copy, capture_output=True, text=True, check=True
    )
    return json.loads(result.stdout)


@pytest.fixture
def package(tmp_path):
    """A copy of the product that may be changed."""
    shutil.copytree(
        Path(scintiflow.__file__).parent,
        tmp_path / "src" / "scintiflow",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    return tmp_path / "src"


@pytest.mark.parametrize(
    ("changed", "affected"),
    [
        ("restoration/skd.py", {"train_cascade", "evaluate", "register"}),
        ("sam/prompts.py", {"adapt_sam", "distil_priors", "evaluate"}),
        ("dicom/pairing.py", {"ingest"}),
        ("cohorts/versioning.py", set()),
        ("registry/gate.py", {"register"}),
        ("registry/champion.py", {"fetch_champion", "register", "restore_real"}),
        ("evaluation/report.html.j2", {"evaluate", "restore_real"}),
        ("stages/adapt_sam.py", {"adapt_sam"}),
        ("stages/door.py", set()),
        ("params/placement.py", set()),
        ("cluster/display.py", set()),
        ("files.py", set(BY_NAME)),
    ],
)
def test_only_stages_that_use_the_code_get_a_new_version(package, changed, affected):
    before = versions(package)
    path = package / "scintiflow" / changed
    path.write_text(path.read_text() + "\n")
    after = versions(package)
    assert {name for name in before if before[name] != after[name]} == affected


def test_another_lock_file_is_other_code(package):
    before = versions(package)
    (package.parent / "requirements.lock").write_text("torch==0\n")
    after = versions(package)
    assert all(before[name] != after[name] for name in BY_NAME)
