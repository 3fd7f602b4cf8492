"""Packed pairs that a cancelled run left on the volume do not stay there."""

import os
import time

import numpy as np

from scintiflow.cluster.leftovers import LONGEST_TRANSFER_SECONDS, remove_leftovers
from scintiflow.keyed_store import KeyedStore
from scintiflow.stages.ingest import PAIRS
from scintiflow.stages.kept_folders import CHECKPOINTS, kept_folder


def test_old_pairs_go_and_a_transfer_that_goes_on_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv(CHECKPOINTS, str(tmp_path / "volume"))
    pairs, priors = KeyedStore(kept_folder(PAIRS)), KeyedStore(kept_folder("priors"))
    for store in (pairs, priors):
        for key in ("aa" * 32, "bb" * 32):
            store.put(key, lambda path: np.savez(path, counts=np.arange(3)))
    days_ago = time.time() - LONGEST_TRANSFER_SECONDS - 60
    for store in (pairs, priors):
        os.utime(store.find("aa" * 32), (days_ago, days_ago))

    assert remove_leftovers() == 1
    assert pairs.find("aa" * 32) is None
    assert pairs.find("bb" * 32) is not None
    assert priors.find("aa" * 32) is not None, "priors are kept on purpose"


def test_without_a_volume_there_is_nothing_to_remove(tmp_path, monkeypatch):
    monkeypatch.setenv(CHECKPOINTS, "s3://bucket/prefix")
    monkeypatch.chdir(tmp_path)
    assert remove_leftovers() == 0
