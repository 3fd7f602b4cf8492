"""The nightly back-up of MLflow's database, on a real PostgreSQL: what it leaves can be restored."""

import os
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from mlflow_server import SUPERUSER, find_postgresql, postgresql

MANIFESTS = Path(__file__).parents[2] / "infra" / "kubernetes" / "base" / "postgresql"
DAY = 24 * 3600


@pytest.fixture
def database(need, tmp_path):
    """(environment of the back-up's pod, a function that runs SQL), in the state of the pod's first start."""
    programs = need("postgresql", find_postgresql())
    with postgresql(programs) as address:
        environment = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PGHOST": parse_qs(urlsplit(address).query)["host"][0],
            "PGUSER": SUPERUSER,
            "BACKUPS": str(tmp_path),
            "KEEP_DAYS": "30",
        }

        def sql(text: str, database: str = "mlflow") -> str:
            command = ["psql", "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text]
            return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

        sql("CREATE ROLE mlflow LOGIN")
        sql((MANIFESTS / "databases.sql").read_text())
        yield environment, sql


def back_up(environment: dict[str, str]) -> subprocess.CompletedProcess:
    command = ["sh", str(MANIFESTS / "backup.sh")]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_a_back_up_can_be_restored_and_only_a_good_one_removes_old_ones(database, tmp_path):
    environment, sql = database
    sql("CREATE TABLE experiments AS SELECT 'scintiflow' AS name")
    for name, days in (("mlflow-old.dump", 32), ("mlflow-recent.dump", 3)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, times=(time.time() - days * DAY,) * 2)

    sql("ALTER DATABASE mlflow_auth RENAME TO elsewhere")
    assert back_up(environment).returncode != 0
    assert (tmp_path / "mlflow-old.dump").exists()
    sql("ALTER DATABASE elsewhere RENAME TO mlflow_auth")

    done = back_up(environment)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "mlflow-old.dump").exists()
    assert (tmp_path / "mlflow-recent.dump").exists()
    assert not list(tmp_path.glob(".partial-*"))
    assert list(tmp_path.glob("mlflow_auth-2*.dump"))

    sql("CREATE DATABASE again")
    newest = max(tmp_path.glob("mlflow-2*.dump"))
    restore = ["pg_restore", "--clean", "--if-exists", "--no-owner", "--dbname=again", str(newest)]
    subprocess.run(restore, env=environment, check=True)
    assert sql("SELECT name FROM experiments", "again").strip() == "scintiflow"
