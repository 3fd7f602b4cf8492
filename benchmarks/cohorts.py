"""What does one packed file per study save under DVC, beside the plain files of a cohort?

    python benchmarks/cohorts.py --studies 137 --kib 1024
    python benchmarks/cohorts.py --studies 5000 --kib 64
    AWS_ENDPOINT_URL=... AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... \\
        python benchmarks/cohorts.py --studies 137 --kib 1024 --remote s3://bucket/prefix

A study is two NM objects of `--kib` KiB (1024 is the clinical size, 2 x 1024 x 256 pixels of 16 bits). Plain: two
files in a folder for each study, as `scintiflow cohort add` writes them. Packed: one uncompressed tar of the same
two files. Both forms run in turn in one process tree, on the same disk, with the same bytes; DVC is called by its
command line, so each line holds about half a second of its start. `--remote` is a folder beside the project unless
named; `--s3-server` starts moto's S3 server, which takes milliseconds for each request and keeps all in memory.

Columns: `dvc add` of a new cohort; `dvc status` with nothing changed; `dvc push` of all; a clone's `dvc pull` of all;
`dvc add` and `dvc push` after one more study was delivered. Each is seconds by the clock and, in brackets, of
processor time, which says more on a machine that has other work to do. Prints a Markdown table; its last row is plain
over packed: above 1 packing is quicker.
"""

import argparse
import hashlib
import io
import logging
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from machine import machine

NAME = "2026-11"
WHO = ("-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.org")
STEPS = ("add", "status", "push", "pull", "add one more", "push one more")


def main() -> None:
    arguments = _arguments()
    print(machine())
    print(f"\n| studies | KiB per object | remote | form | files | {' | '.join(STEPS)} |")
    print(f"|--:|--:|---|---|--:|{'--:|' * len(STEPS)}", flush=True)
    measured = {}
    for form, write in {"plain": write_plain, "packed": write_packed}.items():
        with tempfile.TemporaryDirectory(prefix="cohorts-", dir=arguments.scratch) as scratch:
            server, remote, kind = _remote(arguments, Path(scratch), form)
            measured[form] = seconds = measure(Path(scratch), remote, arguments.studies, arguments.kib, write)
            if server is not None:
                server.stop()
        files = arguments.studies * (2 if form == "plain" else 1)
        times = " | ".join("{:.1f} ({:.1f})".format(*seconds[step]) for step in STEPS)
        print(f"| {arguments.studies} | {arguments.kib} | {kind} | {form} | {files} | {times} |", flush=True)
    ratios = " | ".join("{:.2f} ({:.2f})".format(*_ratio(measured, step)) for step in STEPS)
    print(f"| {arguments.studies} | {arguments.kib} | {kind} | plain / packed | | {ratios} |", flush=True)


def _ratio(measured: dict[str, dict[str, tuple[float, float]]], step: str) -> tuple[float, float]:
    """Plain over packed, by the clock and by processor time."""
    (plain_clock, plain_processor), (clock, processor) = measured["plain"][step], measured["packed"][step]
    return plain_clock / clock, plain_processor / processor


def measure(
    scratch: Path, remote: str, studies: int, kib: int, write: Callable[[Path, int, int], None]
) -> dict[str, tuple[float, float]]:
    """Seconds for each of `STEPS`."""
    project = _project(scratch / "project", remote)
    cohort = project / "data/cohorts" / NAME
    for study in range(studies):
        write(cohort, study, kib)
    pointer = f"data/cohorts/{NAME}.dvc"
    seconds = {
        "add": _timed(project, "add", f"data/cohorts/{NAME}"),
        "status": _timed(project, "status", pointer),
        "push": _timed(project, "push", pointer),
    }
    _git(project, "add", pointer, "data/cohorts/.gitignore")
    _git(project, "commit", "--quiet", "--message", "Cohort")
    _git(scratch, "clone", "--quiet", str(project), str(scratch / "clone"))
    seconds["pull"] = _timed(scratch / "clone", "pull", pointer)
    shutil.rmtree(scratch / "clone")
    write(cohort, studies, kib)
    seconds["add one more"] = _timed(project, "add", f"data/cohorts/{NAME}")
    seconds["push one more"] = _timed(project, "push", pointer)
    return seconds


def write_plain(cohort: Path, study: int, kib: int) -> None:
    """Two files in a folder of their own."""
    folder = cohort / _pseudonym("P", study) / _pseudonym("S", study)
    folder.mkdir(parents=True)
    for name, content in _objects(study, kib):
        (folder / name).write_bytes(content)


def write_packed(cohort: Path, study: int, kib: int) -> None:
    """One uncompressed tar of the same two files, with nothing in its headers that could vary."""
    target = cohort / _pseudonym("P", study) / f"{_pseudonym('S', study)}.tar"
    target.parent.mkdir(parents=True)
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in _objects(study, kib):
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))


def _objects(study: int, kib: int) -> list[tuple[str, bytes]]:
    """Names and bytes of a study's two objects: different for every study, the same in every run."""
    return [
        (f"{_pseudonym('N', 2 * study + half)}.dcm", hashlib.shake_128(f"{study} {half}".encode()).digest(kib * 1024))
        for half in range(2)
    ]


def _pseudonym(kind: str, number: int) -> str:
    return f"{kind}-{hashlib.sha256(f'{kind}{number}'.encode()).hexdigest()[:16]}"


def _project(folder: Path, remote: str) -> Path:
    (folder / "data/cohorts").mkdir(parents=True)
    _git(folder, "init", "--quiet")
    _dvc(folder, "init", "--quiet")
    _dvc(folder, "config", "core.analytics", "false")
    _dvc(folder, "remote", "add", "--default", "team", remote)
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message", "Begin")
    return folder


def _timed(project: Path, *arguments: str) -> tuple[float, float]:
    """Seconds by the clock, and of processor time."""
    clock, processor = time.perf_counter(), _processor_seconds()
    _dvc(project, *arguments)
    return time.perf_counter() - clock, _processor_seconds() - processor


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _dvc(project: Path, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=project, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"dvc {' '.join(arguments)}: {done.stderr}")


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *WHO, *arguments], cwd=folder, check=True, capture_output=True)


def _remote(arguments: argparse.Namespace, scratch: Path, form: str):
    """The server to stop afterwards, the URL, and what to call it."""
    if arguments.s3_server:
        import boto3
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line for each request
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        os.environ |= {
            "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
            "AWS_ACCESS_KEY_ID": "benchmark",
            "AWS_SECRET_ACCESS_KEY": "benchmark",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        boto3.client("s3").create_bucket(Bucket="benchmark")
        return server, f"s3://benchmark/{form}", "moto S3"
    if arguments.remote:
        return None, f"{arguments.remote}/{form}", arguments.remote.split(":")[0]
    return None, str(scratch / "remote"), "folder"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=137)
    parser.add_argument("--kib", type=int, default=1024)
    parser.add_argument("--remote", default="")
    parser.add_argument("--s3-server", action="store_true")
    parser.add_argument("--scratch", type=Path, default=None)
    return parser.parse_args()


if __name__ == "__main__":
    main()
