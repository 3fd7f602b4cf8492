"""Cohorts under DVC: one `.dvc` file for each delivery. The only module that calls DVC."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scintiflow.cohorts.listing import CannotFetchError, Listing
from scintiflow.errors import ScintiflowError
from scintiflow.files import PARTIAL_PREFIX

MEND = "Mend that and run `scintiflow cohort add` again, or add --no-dvc and version it yourself"
S3_OPTIONS = {"verify": True, "connect_timeout": 10, "read_timeout": 60}  # seconds


@dataclass(frozen=True, kw_only=True)
class Remote:
    """Where `dvc push` goes.

    Attributes:
        name, url: a folder's path is absolute.
        options: all settings of the remote, from every configuration file that DVC reads.
        shared_options: those of them that stand in `.dvc/config`, which git tracks.
    """

    name: str
    url: str
    options: Mapping[str, Any] = field(repr=False)
    shared_options: Mapping[str, Any] = field(repr=False)


def default_remote(project: Path) -> Remote:
    """The project's default remote. Raises ScintiflowError if there is none."""
    from dvc.config import Config, ConfigError

    try:
        config = Config(dvc_dir=str(project / ".dvc"))
        name = config["core"]["remote"]
        options = dict(config["remote"][name])
        shared = config.load_one("repo").get("remote", {}).get(name, {})
    except KeyError:
        raise ScintiflowError(
            "the project has no remote", where=project / ".dvc/config", remedy="Name one with `scintiflow remote set`"
        ) from None
    except ConfigError as error:
        raise ScintiflowError(
            str(error), where=project / ".dvc", remedy="Mend .dvc/config, or .dvc/config.local"
        ) from None
    return Remote(name=name, url=str(options["url"]), options=options, shared_options=shared)


def pinned_remote(source: str, revision: str) -> Remote | None:
    """The default remote of a project at a commit: a checkout's, or that of a repository by its URL; None if none."""
    from dvc.repo import Repo

    try:
        with Repo.open(source, rev=revision) as repo:
            name = repo.config["core"]["remote"]
            options = dict(repo.config["remote"][name])
    except Exception:  # it is asked for when something is wrong already, and that is what will be told
        return None
    return Remote(name=name, url=str(options["url"]), options=options, shared_options={})


def write_remote(project: Path, name: str, url: str) -> None:
    """Make `url` the default remote in `.dvc/config`. What is pulled from S3 is hashed again ('verify')."""
    from dvc.config import Config

    options = {"url": url} | (S3_OPTIONS if url.startswith("s3://") else {})
    with Config(dvc_dir=str(project / ".dvc")).edit("repo") as config:
        config["core"]["remote"] = name
        config["remote"][name] = options


def add_folder(folder: Path) -> None:
    """`dvc add`. Raises ScintiflowError with DVC's own words when it refuses."""
    _dvc("add", str(folder))


def push_pointer(pointer: Path) -> None:
    """`dvc push` what a `.dvc` file names. Raises ScintiflowError with DVC's own words when it fails."""
    _dvc("push", str(pointer))


def pull_pointers(project: Path, pointers: list[Path]) -> None:
    """`dvc pull` what these `.dvc` files name. Raises ScintiflowError with DVC's own words when it fails."""
    if pointers:
        remedy = "Try the remote with `scintiflow remote check --read-only`, then run the same command again"
        _dvc("pull", "--quiet", *(pointer.as_posix() for pointer in pointers), cwd=project, remedy=remedy)


def tracked_bytes(project: Path, revision: str | None, path: Path) -> bytes:
    """One file that DVC tracks, at a git revision or as the working tree's `.dvc` file has it.

    It comes from the cache or else from the remote; its neighbours are not fetched.
    Raises ScintiflowError if neither has it, with DVC's own words.
    """
    with pinned_listing(str(project), revision, path.parent) as listing:
        return listing.read(path.name)


def modified_folders(project: Path, pointers: list[Path]) -> set[Path]:
    """Folders, of those that `pointers` (`.dvc` files inside `project`) name, whose files differ from them.

    A folder that is not there was never fetched, and is not modified. Takes a hash of each file that DVC has not
    seen before. Raises ScintiflowError with DVC's own words.
    """
    present = [pointer for pointer in pointers if (project / pointer).with_suffix("").is_dir()]
    if not present:
        return set()
    said = _dvc("status", "--json", *(pointer.as_posix() for pointer in present), cwd=project)
    changes = [
        change for listed in json.loads(said or "{}").values() for change in listed if isinstance(change, dict)
    ]
    states = [state for change in changes for state in change.get("changed outs", {}).items()]
    return {Path(path) for path, state in states if state == "modified"}


def fetch_version(project: Path, md5: str, target: Path) -> None:
    """Put a tracked folder at one version, whatever the working tree holds, into `target`, whole or not at all.

    It comes from the project's cache, else from its remote. The project itself is left alone.
    Raises ScintiflowError with DVC's own words when neither has it.
    """
    from dvc.repo import Repo

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=PARTIAL_PREFIX, dir=target.parent) as scratch:
        pointer = Path(scratch) / "folder.dvc"
        pointer.write_text(json.dumps({"outs": [{"md5": md5, "hash": "md5", "path": "folder"}]}), encoding="utf-8")
        try:
            with Repo(str(project)) as origin:
                core = dict(origin.config["core"]) | {"no_scm": True}
                config = {"core": core, "remote": dict(origin.config["remote"])}
                config["cache"] = {"dir": origin.cache.local.path}
            (Path(scratch) / ".dvc").mkdir()
            (Path(scratch) / ".dvc" / "config").write_text("[core]\n    no_scm = true\n", encoding="utf-8")
            with Repo(scratch, config=config) as apart:
                apart.pull(targets=[str(pointer)])
        except Exception as error:  # DVC and each of its file systems raise their own kinds
            nowhere = type(error).__name__ == "CheckoutError"
            said = "neither the cache nor the remote has it" if nowhere else str(error) or type(error).__name__
            raise ScintiflowError(
                f"version {md5} cannot be fetched: {said}",
                where=target.name,
                remedy="Whoever added the cohort must `dvc push` it; try the remote with `scintiflow remote check`",
            ) from None
        (Path(scratch) / "folder").rename(target)


def tracked_hashes(project: Path, revision: str | None, folder: Path) -> dict[str, str]:
    """MD5 of each file below `folder`, by path inside it, as the `.dvc` file of a revision (None: of today) says."""
    with pinned_listing(str(project), revision, folder) as listing:
        return dict(listing.hashes)


@contextmanager
def pinned_listing(source: str, revision: str | None, folder: Path) -> Iterator[Listing]:
    """List the files below `folder` of a project: a checkout, or the URL of its git repository.

    Neither the project nor DVC's shared caches are written to. Raises ScintiflowError.
    """
    from dvc.repo import Repo

    where = f"{revision}:{folder.as_posix()}" if revision else folder.as_posix()
    with tempfile.TemporaryDirectory(prefix="dvc-") as scratch, ExitStack() as opened:
        try:
            config = {"core": {"site_cache_dir": scratch}}
            repo = opened.enter_context(Repo.open(source, rev=revision, config=config))
            listing = Listing(repo, folder, where)
        except CannotFetchError:
            raise
        except Exception as error:  # DVC and each of its file systems raise their own kinds
            raise CannotFetchError(
                f"cannot be listed: {error or type(error).__name__}",
                where=where,
                remedy="Check the revision, and the remote with `scintiflow remote check --read-only`",
            ) from None
        yield listing


def erase_objects(project: Path, hashes: set[str]) -> int:
    """Delete objects by MD5 from the cache and from the default remote; how many files that were."""
    from dvc.repo import Repo

    erased = 0
    try:
        with Repo(str(project)) as repo:
            for store in (repo.cache.local, repo.cloud.get_remote_odb()):
                for md5 in sorted(hashes):
                    if store.exists(md5):
                        store.delete(md5)
                        erased += 1
    except Exception as error:  # each of DVC's file systems raises its own kinds
        raise ScintiflowError(
            f"{erased} files were erased, then: {error or type(error).__name__}",
            where=project,
            remedy="Try the remote with `scintiflow remote check`, then run the same command again",
        ) from None
    return erased


def _dvc(*arguments: str, cwd: Path | None = None, remedy: str = MEND) -> str:
    """What `dvc ARGUMENTS` prints."""
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    result = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        cwd=cwd,
    )
    if result.returncode != 0:
        said = (result.stderr or result.stdout).strip().splitlines()
        errors = [line.removeprefix("ERROR:").strip() for line in said if line.startswith("ERROR:")]
        reason = (errors or said or [f"exit code {result.returncode}"])[0]  # advice and traces follow
        raise ScintiflowError(
            f"`dvc {arguments[0]}` refused: {reason}",
            where=arguments[-1],
            remedy=remedy,
        )
    return result.stdout
