"""Files are whole or absent; hashes follow content and nothing else."""

import json
import os

import pytest

from scintiflow.files import PARTIAL_PREFIX, sha256_tree, whole_file, whole_folder, write_json


def test_failed_write_leaves_the_old_file_and_no_trace(tmp_path):
    target = tmp_path / "result.txt"
    target.write_text("old")

    def write_half():
        with whole_file(target) as partial:
            partial.write_text("half")
            raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        write_half()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["result.txt"]


def test_failed_folder_leaves_the_old_folder_and_no_trace(tmp_path):
    target = tmp_path / "made"
    with whole_folder(target) as partial:
        (partial / "a").write_text("1")

    def write_half():
        with whole_folder(target) as partial:
            (partial / "b").write_text("2")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_half()
    assert [path.name for path in target.iterdir()] == ["a"]
    assert not list(tmp_path.glob(f"{PARTIAL_PREFIX}*"))


def test_folder_replaces_whole_content(tmp_path):
    target = tmp_path / "made"
    for name in ("a", "b"):
        with whole_folder(target) as partial:
            (partial / name).write_text(name)
    assert [path.name for path in target.iterdir()] == ["b"]


def test_json_refuses_what_json_cannot_say(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not list(tmp_path.iterdir())
    write_json(tmp_path / "x.json", {"b": 1, "a": "é"})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"a": "é", "b": 1}


def test_tree_hash_follows_names_and_content_only(tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    for folder in (first, second):
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "x").write_text("content")
    os.utime(second / "sub" / "x", (0, 0))
    assert sha256_tree(first) == sha256_tree(second)
    (second / "sub" / "x").rename(second / "sub" / "y")
    assert sha256_tree(first) != sha256_tree(second)
