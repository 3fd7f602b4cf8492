"""What counts as dirty: only what a run reads, new files included; and the difference can be applied again."""

import subprocess

import pytest

from scintiflow.cluster.source_tree import applied_worktree, tree_state
from scintiflow.errors import ScintiflowError


def git(folder, *arguments):
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def project(tmp_path):
    """A committed project; the code is stamped by the registry fixture, as in an image."""
    folder = tmp_path / "project"
    (folder / "profiles").mkdir(parents=True)
    (folder / "params.yaml").write_text("a: 1\n")
    (folder / "profiles" / "laptop.yaml").write_text("a: 2\n")
    (folder / "README.md").write_text("hello\n")
    git(tmp_path, "init", "-q", str(folder))
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def test_a_committed_recipe_is_clean_and_knows_its_commit(project):
    state = tree_state(project)
    assert (state.changes, state.diff, state.diff_sha256) == ((), b"", "")
    assert state.sha == git(project, "rev-parse", "HEAD")


def test_what_no_run_reads_does_not_count(project):
    (project / "README.md").write_text("other\n")
    (project / "notes.txt").write_text("mine\n")
    (project / "data").mkdir()
    (project / "data" / "sample.dvc").write_text("outs: []\n")
    assert tree_state(project).changes == ()


def test_a_changed_and_a_new_file_count_and_stand_in_the_difference(project, tmp_path):
    (project / "params.yaml").write_text("a: 3\n")
    (project / "profiles" / "mine.yaml").write_text("a: 4\n")
    state = tree_state(project)
    assert set(state.changes) == {"params.yaml", "profiles/mine.yaml"}
    assert len(state.diff_sha256) == 64
    assert git(project, "diff", "--cached", "--name-only") == ""  # the index is left alone

    diff = tmp_path / "changes.diff"
    diff.write_bytes(state.diff)
    with applied_worktree(project, state.sha, tmp_path / "again", diff, ("params.yaml", "profiles")) as again:
        assert (again / "params.yaml").read_text() == "a: 3\n"
        assert (again / "profiles" / "mine.yaml").read_text() == "a: 4\n"
    assert not (tmp_path / "again").exists()
    assert git(project, "worktree", "list").count("\n") == 0


def test_two_states_have_two_hashes(project):
    (project / "params.yaml").write_text("a: 3\n")
    first = tree_state(project).diff_sha256
    (project / "params.yaml").write_text("a: 4\n")
    assert tree_state(project).diff_sha256 != first


def test_a_project_without_a_commit_is_dirty(tmp_path):
    folder = tmp_path / "fresh"
    git(tmp_path, "init", "-q", str(folder))
    (folder / "params.yaml").write_text("a: 1\n")
    state = tree_state(folder)
    assert (state.sha, state.changes) == ("", ("params.yaml",))
    assert b"a: 1" in state.diff


def test_code_that_is_not_quite_its_commit_is_dirty(project, monkeypatch):
    monkeypatch.setenv("SCINTIFLOW_GIT_SHA", "c" * 40 + "+changes")
    assert tree_state(project).changes == ("the code of the image",)


def test_a_commit_that_is_not_there_is_refused(project, tmp_path):
    with (
        pytest.raises(ScintiflowError, match="git has no commit"),
        applied_worktree(project, "0" * 40, tmp_path / "again", None, ()),
    ):
        pass
