"""A real MLflow server on a real PostgreSQL, both started here and gone afterwards."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUPERUSER = "postgres"  # Debian's account: PostgreSQL refuses to run as root
DATABASE = "mlflow"


def find_postgresql() -> Path | None:
    """Folder of initdb, postgres and pg_ctl; Debian keeps it out of PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    in_path = shutil.which("initdb")
    return found[0].parent if found else Path(in_path).resolve().parent if in_path else None


@contextmanager
def postgresql(programs: Path) -> Iterator[str]:
    """A fresh cluster in a temporary folder, on a socket in it; yields the address of an empty database."""
    # not pytest's folder: the account that runs PostgreSQL may not enter root's
    with tempfile.TemporaryDirectory(prefix="scintiflow-postgresql-") as place:
        folder = Path(place)
        owner = SUPERUSER if os.geteuid() == 0 else None
        if owner is not None:
            account = pwd.getpwnam(owner)
            os.chown(folder, account.pw_uid, account.pw_gid)

        def call(program: str, *arguments: str) -> None:
            command = [str(programs / program), *arguments]
            done = subprocess.run(command, user=owner, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr

        data = folder / "data"
        call("initdb", "--pgdata", str(data), "--username", SUPERUSER, "--auth", "trust", "--no-sync",
             "--encoding", "UTF8", "--locale", "C")  # fmt: skip
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off -c full_page_writes=off"
        call("pg_ctl", "--pgdata", str(data), "--log", str(folder / "log"), "--options", options, "--wait", "start")
        try:
            call("createdb", "--host", str(folder), "--username", SUPERUSER, DATABASE)
            yield f"postgresql+psycopg2://{SUPERUSER}@/{DATABASE}?host={folder}"
        finally:
            call("pg_ctl", "--pgdata", str(data), "--mode", "immediate", "stop")


@contextmanager
def mlflow_server(database: str, artifacts: Path) -> Iterator[str]:
    """`mlflow server` on that database; yields its address once it answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    log = artifacts.with_name("server.log")
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--artifacts-destination",
        str(artifacts), "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with log.open("w") as sink:
        server = subprocess.Popen(command, stdout=sink, stderr=sink, env=environment, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while not _answers(f"{address}/health"):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.3)
        yield address
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)  # nothing of it is kept
        server.wait(60)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
