"""A user's project: the recipe and folders for data, without the product's code."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny.yaml")


def lay_out(folder: Path, *more: str) -> Path:
    """The recipe with its profiles and `tiny.yaml`, empty folders for cohorts and truth, and `more` of our files."""
    for name in ("params.yaml", *more):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    shutil.copy(TINY, folder / "profiles")
    for name in ("truth", "cohorts"):
        (folder / "data" / name).mkdir(parents=True)
    return folder


def under_git_and_dvc(folder: Path) -> Path:
    """The same under git, nothing committed, with DVC as this project has it set up."""
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    return folder
