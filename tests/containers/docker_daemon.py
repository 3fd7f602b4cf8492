"""A Docker daemon of one's own, in a folder, that leaves the machine's network and firewall alone; a base image."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BASE = "python:3.11-slim"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
SECONDS_TO_START = 60


@contextmanager
def docker_daemon(folder: Path) -> Iterator[str]:
    """`dockerd` with everything it keeps in `folder`; yields its address, and stops it and empties the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    address = f"unix://{folder}/docker.sock"
    command = [
        "dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--data-root", str(folder / "data"),
        "--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid"), "--host", address,
    ]  # fmt: skip
    log = folder / "log"
    with log.open("w") as sink:
        daemon = subprocess.Popen(command, stdout=sink, stderr=sink)
    try:
        deadline = time.monotonic() + SECONDS_TO_START
        while docker("info", host=address, check=False).returncode != 0:
            assert daemon.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield address
    finally:
        running = docker("ps", "--quiet", host=address, check=False).stdout.split()
        if running:
            docker("kill", *running, host=address, check=False)
        daemon.terminate()
        try:
            daemon.wait(60)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        _unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)


def docker(*arguments: str, host: str, check: bool = True, **options) -> subprocess.CompletedProcess[str]:
    """The command line against one daemon. A failure is an AssertionError with what was said."""
    done = subprocess.run(
        ["docker", *arguments], env=os.environ | {"DOCKER_HOST": host}, capture_output=True, text=True, **options
    )
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}\n{done.stdout}{done.stderr}"
    return done


def make_base_image(host: str, folder: Path) -> None:
    """What stands in for `python:3.11-slim` where no registry can be reached: Debian 12 with its own Python 3.11."""
    archive = folder / "base.tar"
    command = [
        "mmdebstrap", "--variant=minbase", "--include=python3,python3-venv,python3-pip,ca-certificates",
        '--customize-hook=rm -f "$1"/usr/lib/python3.11/EXTERNALLY-MANAGED',
        '--customize-hook=ln -s python3 "$1"/usr/bin/python',
        f'--customize-hook=cp {CERTIFICATES} "$1"{CERTIFICATES}',
        "bookworm", str(archive),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    changes = [f"ENV {name}={CERTIFICATES}" for name in ("SSL_CERT_FILE", "PIP_CERT")]
    changes.append("ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    options = [part for change in changes for part in ("--change", change)]
    docker("import", *options, str(archive), BASE, host=host)
    archive.unlink()


def _unmount(folder: Path) -> None:
    """What a daemon that was killed leaves mounted: a folder with mounts in it cannot be removed."""
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in sorted((place for place in mounted if place.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", place], check=False)
