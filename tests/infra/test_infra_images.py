"""The images' files, without building one: pins that must agree, and what may never stand in them."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "infra" / "images"


def pins(lines: list[str]) -> dict[str, str]:
    found = (re.match(r"([A-Za-z0-9_.-]+)(?:\[[a-z,0-9]+\])?==([^\s;\\]+)", line) for line in lines)
    return {match[1].lower(): match[2] for match in found if match}


@pytest.fixture(scope="module")
def project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return pins([*project["project"]["dependencies"], *project["dependency-groups"]["dev"]])


@pytest.mark.parametrize("file", ["scintiflow/tools.in", "mlflow/requirements.in"])
def test_what_an_image_shares_with_the_project_has_the_projects_version(project, file):
    shared = {name: version for name, version in pins((IMAGES / file).read_text().splitlines()).items()
              if name in project}  # fmt: skip
    assert shared
    assert shared == {name: project[name] for name in shared}


@pytest.mark.parametrize("name", ["scintiflow/tools", "mlflow/requirements"])
def test_a_lock_holds_what_was_asked_for_and_a_hash_for_each_package(name):
    locked = (IMAGES / f"{name}.lock").read_text()
    asked = pins((IMAGES / f"{name}.in").read_text().splitlines())
    held = pins(locked.splitlines())
    assert {package: held.get(package) for package in asked} == asked
    for stanza in re.split(r"\n(?=[a-z0-9])", locked):
        assert "--hash=sha256:" in stanza, stanza.splitlines()[0]


def test_no_registry_and_no_secret_stands_in_what_builds_images():
    for file in (ROOT / ".dockerignore", *(path for path in IMAGES.rglob("*") if path.is_file())):
        text = file.read_text()
        assert not re.search(r"https?://|--(extra-)?index-url", text), file
        assert not re.search(r"(?i)(password|token|secret)\s*=", text), file


def test_the_build_sees_neither_cohorts_nor_runs_nor_git():
    allowed = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert allowed[0] == "*"
    let_in = {line[1:] for line in allowed if line.startswith("!")}
    assert let_in == {"src", "components", "pipelines", "reference", "infra/images/scintiflow", "params.yaml",
                      "pyproject.toml", "README.md", "requirements.lock"}  # fmt: skip
    assert all((ROOT / path).exists() for path in let_in)


def test_without_docker_and_podman_the_build_says_what_to_install(tmp_path):
    for program in ("dirname", "git", "sh"):
        (tmp_path / program).symlink_to(shutil.which(program))
    done = subprocess.run(
        ["/bin/sh", IMAGES / "build.sh"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "Neither docker nor podman is installed: apt-get install -y podman\n"
