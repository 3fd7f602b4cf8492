"""A retrain of what no commit holds: refused, or recorded with all that differs, the code's changes too."""

import shutil
from pathlib import Path

import pytest
from rich.console import Console
from versioned_project import commit_cohort, git, make_project, write_cohort

import scintiflow
from scintiflow.cluster import retraining
from scintiflow.cluster.pins import used_cohorts
from scintiflow.errors import ScintiflowError
from scintiflow.registry.surroundings import GIT_SHA

ROOT = Path(__file__).parents[2]
MODULE = Path("src/scintiflow/module.py")


class ToldToRunError(Exception):
    """Carries the order in place of the hours that it would take."""


@pytest.fixture
def project(tmp_path, laptop, monkeypatch):
    """A checkout whose code and recipe are one repository, as a developer's is; one module was changed."""
    project = make_project(tmp_path / "project")
    for name in used_cohorts(laptop):
        write_cohort(project, name, {"P-1": 1})
        commit_cohort(project, name, name, push=False)
    shutil.copy(ROOT / "params.yaml", project)
    (project / MODULE).parent.mkdir(parents=True)
    (project / MODULE).write_text("before = 1\n")
    (project / "data" / "truth").mkdir()
    git(project, "add", "params.yaml", "src")
    git(project, "commit", "--quiet", "--message", "Code and recipe")
    (project / MODULE).write_text("after = 2\n")
    monkeypatch.setattr(scintiflow, "__file__", str(project / MODULE.with_name("__init__.py")))
    monkeypatch.delenv(GIT_SHA)
    monkeypatch.chdir(project)

    def told(order, *_):
        raise ToldToRunError(order)

    monkeypatch.setattr(retraining, "retrain_locally", told)
    return project


def test_changed_code_is_refused_and_the_file_named(project, laptop):
    with pytest.raises(ScintiflowError, match=MODULE.name):
        retraining.retrain(laptop, project, Console(quiet=True))


def test_changed_code_that_is_allowed_stays_with_the_run(project, laptop):
    with pytest.raises(ToldToRunError) as running:
        retraining.retrain(laptop, project, Console(quiet=True), allow_dirty=True)
    (order,) = running.value.args
    assert order.tags["tree"] == "dirty"
    assert order.tags["git_sha"] == git(project, "rev-parse", "HEAD")
    assert b"+after = 2" in order.diff
    git(project, "checkout", "--quiet", ".")
    (project / "changes.diff").write_bytes(order.diff)
    git(project, "apply", "changes.diff")
    assert (project / MODULE).read_text() == "after = 2\n"
