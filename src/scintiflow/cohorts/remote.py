"""The place that a team pushes its cohorts to: set up once, and tried step by step when something is wrong."""

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from scintiflow.cohorts.s3 import CLOCK, SCHEME, S3Folder
from scintiflow.cohorts.versioning import Remote, default_remote, write_remote
from scintiflow.errors import ScintiflowError

PROBE = ".scintiflow-check-"  # what a check writes; DVC's own objects lie under files/
PARTS = (5 * 2**20, 2**10)  # bytes of the two parts of a multipart upload; 5 MiB is the least that S3 takes
SECRETS = ("access_key_id", "secret_access_key", "session_token", "password")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that was tried. `error` is None if it went well."""

    title: str
    error: ScintiflowError | None = None


class Place(Protocol):
    """Files by name under one address; every method raises ScintiflowError."""

    def write(self, name: str, content: bytes) -> None: ...

    def read(self, name: str) -> bytes: ...

    def names(self, beginning: str = "") -> list[str]: ...

    def write_in_parts(self, name: str, parts: list[bytes]) -> None: ...

    def delete(self, name: str) -> None: ...


class LocalFolder:
    """A remote that is a folder, on this machine or mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, content: bytes) -> None:
        with _in_words("write", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(content)

    def read(self, name: str) -> bytes:
        with _in_words("read", self.folder):
            return (self.folder / name).read_bytes()

    def names(self, beginning: str = "") -> list[str]:
        with _in_words("list", self.folder):
            return sorted(path.name for path in self.folder.iterdir() if path.name.startswith(beginning))

    def write_in_parts(self, name: str, parts: list[bytes]) -> None:
        self.write(name, b"".join(parts))

    def delete(self, name: str) -> None:
        with _in_words("delete", self.folder):
            (self.folder / name).unlink()


@contextmanager
def _in_words(doing: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ScintiflowError(
            f"cannot {doing}: {os.strerror(error.errno or 0).lower()}",
            where=folder,
            remedy="Mount the folder, give it space and permission, or name another with `scintiflow remote set`",
        ) from None


def check_remote(project: Path, read_only: bool = False) -> list[Step]:
    """Try the project's remote as `dvc push` and `dvc pull` would use it; what is written is removed again.

    Stops at the first step that fails, since what follows would only fail for the same reason; what was written is
    still removed. `read_only`: only list, for credentials that must not write (pods).

    Raises ScintiflowError if there is no remote, or it is neither a folder nor S3.
    """
    return try_remote(default_remote(project), read_only)


def first_trouble(remote: Remote, read_only: bool) -> ScintiflowError | None:
    """What is wrong with a remote, in words; None if everything works, or if it is of a kind that cannot be tried."""
    try:
        return next((step.error for step in try_remote(remote, read_only) if step.error is not None), None)
    except ScintiflowError:
        return None


def try_remote(remote: Remote, read_only: bool = False) -> list[Step]:
    """`check_remote` for a remote whose settings are known."""
    steps = [Step(title="no secrets in files that git tracks", error=_secrets_in_git(remote))]
    place: Place
    if remote.url.startswith(SCHEME):
        try:
            place = S3Folder(remote.url, remote.options)
        except ScintiflowError as error:
            return [*steps, Step(title="connect", error=error)]
    elif "://" in remote.url:
        raise ScintiflowError(
            "only folders and S3 can be checked", where=remote.url, remedy="Try it with `dvc push` and `dvc pull`"
        )
    else:
        place = LocalFolder(Path(remote.url))
    tried = [("list", lambda: _look(place))] if read_only else _trials(place)
    steps += _until_one_fails(tried)
    if isinstance(place, S3Folder) and steps[-1].error is None:
        said = place.clock_sentence
        skewed = ScintiflowError(said, where=remote.url, remedy=CLOCK) if said else None
        steps.append(Step(title="clocks agree", error=skewed))
    return steps


def set_remote(project: Path, url: str, name: str = "team") -> list[str]:
    """Make `url` (a folder or s3://bucket/prefix) the project's default remote; what to do next, line by line.

    Raises ScintiflowError if the URL is not usable, above all if it carries credentials.
    """
    if "@" in url or "?" in url:
        raise ScintiflowError(
            "the address must hold no credentials and no options",
            where="remote",
            remedy="Give s3://bucket/prefix alone; keys belong into the environment",
        )
    if url.startswith(SCHEME):
        if not BUCKET.fullmatch(urlsplit(url).netloc):
            raise ScintiflowError("names no bucket", where=url, remedy="Give s3://bucket/prefix")
        needed = [
            "Each who uses it sets, in the environment and never in a file of the project:",
            "  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY   credentials",
            "  AWS_ENDPOINT_URL                           unless it is AWS: https://s3.your-hospital.example",
            "  AWS_DEFAULT_REGION, AWS_CA_BUNDLE          if the server wants a region, or has its own certificate",
        ]
    elif "://" in url:
        raise ScintiflowError("is neither a folder nor S3", where=url, remedy="Give a folder or s3://bucket/prefix")
    else:
        url, needed = str(Path(url).absolute()), []
    write_remote(project, name, url)
    return [
        f"The project's remote is now '{name}', {url}",
        *needed,
        "Try it with",
        "  scintiflow remote check",
        "and share it with",
        f'  git commit -m "Cohorts are pushed to {url}" .dvc/config',
    ]


def _trials(place: Place) -> list[tuple[str, Callable[[], None]]]:
    name, content = f"{PROBE}{secrets.token_hex(8)}", secrets.token_bytes(1024)
    parts = [secrets.token_bytes(size) for size in PARTS]

    def read() -> None:
        _expect(place.read(name) == content, "what was read is not what was written", place)

    def listed() -> None:
        _expect(name in place.names(PROBE), "what was written is not listed", place)

    def in_parts() -> None:
        place.write_in_parts(name, parts)
        _expect(place.read(name) == b"".join(parts), "what was read is not what was written in parts", place)

    def deleted() -> None:
        place.delete(name)
        _expect(name not in place.names(PROBE), "what was deleted is still there", place)

    return [
        ("write", lambda: place.write(name, content)),
        ("read", read),
        ("list", listed),
        ("write in parts (multipart)", in_parts),
        ("delete", deleted),
    ]


def _until_one_fails(trials: list[tuple[str, Callable[[], None]]]) -> list[Step]:
    steps = []
    for number, (title, trial) in enumerate(trials):
        try:
            trial()
        except ScintiflowError as error:
            steps.append(Step(title=title, error=error))
            if number and title != trials[-1][0]:  # something was written
                try:
                    trials[-1][1]()
                except ScintiflowError as left:
                    steps.append(Step(title=trials[-1][0], error=left))
            return steps
        steps.append(Step(title=title))
    return steps


def _look(place: Place) -> None:
    place.names("files/")


def _expect(true: bool, otherwise: str, place: Place) -> None:
    if not true:
        raise ScintiflowError(
            otherwise,
            where=getattr(place, "url", "the folder"),
            remedy="Tell the administrator: this storage loses data",
        )


def _secrets_in_git(remote: Remote) -> ScintiflowError | None:
    found = [name for name in SECRETS if name in remote.shared_options]
    if not found:
        return None
    return ScintiflowError(
        f"holds {', '.join(found)} of the remote '{remote.name}', and git tracks it",
        where=".dvc/config",
        remedy=f"Take it out with `dvc remote modify --unset {remote.name} {found[0]}`, and have the key replaced",
    )
