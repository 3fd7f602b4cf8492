"""Whether what a run reads is what a commit says: the code, and the recipe.

Only the paths that a run reads count: a README may change. Untracked files under them count too, for a module
that no commit holds would be imported all the same. Cohorts are judged by `cluster.pins`.
"""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import scintiflow
from scintiflow.errors import ScintiflowError
from scintiflow.registry.surroundings import GIT_SHA

CODE = ("src", "components", "pipelines", "requirements.lock")
RECIPE = ("params.yaml", "profiles")


@dataclass(frozen=True)
class TreeState:
    """The commit that a run belongs to, and what differs from it.

    Attributes:
        sha: of the project's commit; '' if it has none.
        changes: paths that differ from the commit, or are in none; empty for a clean tree.
        diff: what `git apply` needs to make the commit into this tree; b'' for a clean one.
    """

    sha: str
    changes: tuple[str, ...]
    diff: bytes

    @property
    def diff_sha256(self) -> str:
        return hashlib.sha256(self.diff).hexdigest() if self.changes else ""


def tree_state(project: Path) -> TreeState:
    """Compare the recipe under `project` and the code that runs with their commits.

    The two are one repository as a rule. In an image the code has no repository: there `SCINTIFLOW_GIT_SHA` says
    which commit it is, and '+changes' that it is not quite.
    """
    stamp = os.environ.get(GIT_SHA, "")
    code_home = None if stamp else _top(Path(scintiflow.__file__).parent)
    home = _top(project)
    changes = ["the code of the image"] if stamp.endswith("+changes") else []
    if not stamp and code_home is None:
        changes.append("the code: it is in no git repository")
    watched: dict[Path, list[str]] = {}
    if home is not None:
        inside = project.resolve().relative_to(home)
        watched[home] = [(inside / path).as_posix() for path in RECIPE]
    elif not stamp:
        changes.append("the recipe: it is in no git repository")
    if code_home is not None:
        watched.setdefault(code_home, []).extend(CODE)
    diff = b""
    for top, paths in watched.items():
        changed = _changed(top, paths)
        changes += changed
        diff += _diff(top, changed)
    return TreeState(_head(home) if home else stamp, tuple(changes), diff)


def changed_since(sha: str) -> set[Path] | None:
    """Files of the code that differ from the commit `sha`, absolute; None if git cannot tell."""
    top = _top(Path(scintiflow.__file__).parent)
    if top is None or not sha:
        return None
    result = _run(top, "diff", "--name-only", "-z", sha.removesuffix("+changes"), "--", *CODE)
    if result.returncode != 0:
        return None
    return {top / name for name in result.stdout.decode().split("\0") if name}


def differs_from_commit(project: Path, path: Path) -> bool:
    """Whether a file is changed, new, or in no repository at all; `path` is relative to the project."""
    result = _run(project, "status", "--porcelain=v1", "--untracked-files=all", "--", path.as_posix())
    return result.returncode != 0 or bool(result.stdout)


def last_commit_of(project: Path, paths: Iterable[Path]) -> str:
    """The newest commit that changed one of these files, which are relative to the project; '' if none did.

    It names the files' present content, and other commits do not change it.
    """
    found = _run(project, "log", "-1", "--format=%H", "--", *(path.as_posix() for path in paths))
    return found.stdout.decode().strip() if found.returncode == 0 else ""


def is_pushed(project: Path, sha: str) -> bool:
    """Whether a branch of a remote, as far as this checkout knows, has the commit."""
    found = _run(project, "branch", "--remotes", "--contains", sha)
    return found.returncode == 0 and bool(found.stdout.strip())


@contextmanager
def applied_worktree(inside: Path, sha: str, target: Path, diff: Path | None, paths: Iterable[str]) -> Iterator[Path]:
    """A second checkout of the repository around `inside` at a commit, with `diff` applied to `paths` of it.

    It is removed when the block ends. Raises ScintiflowError if git lacks the commit, or if the diff does not fit it.
    """
    top = _top(inside)
    if top is None:
        raise ScintiflowError(
            "the code is in no git repository", where="scintiflow", remedy="Run this in a checkout of the project"
        )
    try:
        _must(top, f"git has no commit {sha}", "worktree", "add", "--detach", "--force", str(target), sha)
        if diff is not None:
            included = [f"--include={path}{'' if '.' in path else '/*'}" for path in paths]
            _must(target, "the recorded changes do not fit the commit", "apply", *included, str(diff.resolve()))
        yield target
    finally:
        _run(top, "worktree", "remove", "--force", str(target))
        _run(top, "worktree", "prune")


def _must(folder: Path, reason: str, *arguments: str) -> None:
    result = _run(folder, *arguments)
    if result.returncode != 0:
        said = result.stderr.decode().strip().splitlines()
        raise ScintiflowError(
            f"{reason} ({said[-1] if said else arguments[0]})",
            where=folder,
            remedy="`git fetch --all` brings commits of others",
        )


def _changed(top: Path, paths: list[str]) -> list[str]:
    listed = _run(top, "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--", *paths)
    return [entry[3:] for entry in listed.stdout.decode().split("\0") if entry]


def _diff(top: Path, paths: list[str]) -> bytes:
    """The difference to the commit, new files included; the repository's own index stays as it is."""
    if not paths:
        return b""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        base = _head(top) or _run(top, "hash-object", "-t", "tree", "/dev/null").stdout.decode().strip()
        _run(top, "read-tree", base, **index)
        _run(top, "add", "--all", "--", *paths, **index)
        return _run(top, "diff", "--cached", "--binary", base, "--", *paths, **index).stdout


def _head(top: Path) -> str:
    found = _run(top, "rev-parse", "--verify", "--quiet", "HEAD")
    return found.stdout.decode().strip() if found.returncode == 0 else ""


def _top(folder: Path) -> Path | None:
    try:
        found = _run(folder, "rev-parse", "--show-toplevel")
    except OSError:  # no git in this image
        return None
    return Path(found.stdout.decode().strip()).resolve() if found.returncode == 0 else None


def _run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, check=False, env=os.environ | environment
    )
