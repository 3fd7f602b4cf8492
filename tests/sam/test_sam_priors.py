"""Priors: complete, keyed by everything they depend on, computed once."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from crude_child import Clinic

from scintiflow.dataset.manifest import Dataset
from scintiflow.dataset.priors import INDEX, Prior, load_prior, save_prior
from scintiflow.files import read_json, sha256_tree
from scintiflow.keyed_store import KeyedStore
from scintiflow.params import DistilPriorsParams
from scintiflow.sam import canvas, distillation, priors
from scintiflow.sam.adapter import load_adapted_sam
from scintiflow.sam.prediction import predict
from scintiflow.sam.priors import distil, distil_share, study_key
from scintiflow.stages import adapt_sam, distil_priors
from scintiflow.stages.kept_folders import CHECKPOINTS
from scintiflow.structures import STRUCTURES
from scintiflow.tracking import SilentTracker

WITH = DistilPriorsParams(keep_embeddings=True, workers=1)
WITHOUT = DistilPriorsParams(keep_embeddings=False, workers=1)

KEYS = {"a" * 64: 1, "b" * 64: 2}


@pytest.fixture(scope="module")
def sam(clinic: Clinic, sam_params, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam") / "sam"
    inputs = adapt_sam.Inputs(clinic.dataset, clinic.truth)
    adapt_sam.run(sam_params(steps=2), inputs, adapt_sam.Outputs(folder), SilentTracker())
    return folder


@pytest.fixture
def store(tmp_path):
    return KeyedStore(tmp_path / "store")


def _distil(clinic, sam, folder, store, params=WITHOUT):
    return distil(Dataset.open(clinic.dataset), sam, params, folder, SilentTracker(), store, clinic.truth)


def test_every_study_gets_what_sam_answers_for_both_scans(clinic, sam, store, tmp_path):
    report = _distil(clinic, sam, tmp_path / "priors", store, WITH)
    dataset = Dataset.open(clinic.dataset)
    assert report["coverage"] == 1
    assert report["studies_computed"] == len(dataset.table)
    assert report["seconds_per_scan"] > 0
    row = next(dataset.rows("test"))
    pair, prior = dataset.pair(row["study"]), load_prior(tmp_path / "priors", row["study"])
    assert prior.masks_rapid.shape == (len(STRUCTURES), *pair.rapid.shape)
    assert prior.masks_rapid.dtype == np.uint8
    assert prior.embedding_rapid.dtype == np.float16
    network, description = load_adapted_sam(sam)
    how = (row["spacing_mm"], description["display_ceiling_counts"], description["shape_prompts"])
    expected, _ = predict(network, pair.rapid * np.float32(row["count_ratio"]), *how)
    assert np.abs(prior.masks_rapid / 255 - expected).max() < 0.005
    assert not np.array_equal(prior.masks_rapid, prior.masks_standard)
    index = read_json(tmp_path / "priors" / INDEX)
    assert "no pretrained weights" in index["sam"]["provenance"]
    assert "dice_rapid_truth_body" in report


def test_equal_inputs_give_equal_folders_and_nothing_is_computed_twice(clinic, sam, store, tmp_path):
    _distil(clinic, sam, tmp_path / "priors", store)
    before = sha256_tree(tmp_path / "priors")
    again = _distil(clinic, sam, tmp_path / "another-run", store)
    assert again["studies_computed"] == 0
    assert "seconds_per_scan" not in again
    assert sha256_tree(tmp_path / "another-run") == before
    _distil(clinic, sam, tmp_path / "elsewhere", KeyedStore(tmp_path / "empty"))
    assert sha256_tree(tmp_path / "elsewhere") == before


def test_any_number_of_processes_gives_the_same_bytes(clinic, sam, store, tmp_path, monkeypatch):
    monkeypatch.setattr(distillation, "SECONDS_TO_START", 0.0001)  # else four studies are not worth it
    used = []
    original = priors.ask_in_processes
    monkeypatch.setattr(priors, "ask_in_processes", lambda *given: used.append(given[0]) or original(*given))
    parallel = WITH.model_copy(update={"workers": 2})
    report = _distil(clinic, sam, tmp_path / "parallel", store, parallel)
    assert used == [2]
    assert report["studies_computed"] == 5
    _distil(clinic, sam, tmp_path / "serial", KeyedStore(tmp_path / "other"), WITH)
    assert sha256_tree(tmp_path / "parallel") == sha256_tree(tmp_path / "serial")


def test_pods_that_share_the_patients_give_the_same_bytes_as_one(clinic, sam, store, tmp_path):
    dataset = Dataset.open(clinic.dataset)
    reports = [distil_share(dataset, sam, WITH, store, share, shares=3) for share in (2, 0, 1)]
    assert sum(report["studies_computed"] for report in reports) == len(dataset.table)
    assert sum(report["studies_taken_over"] for report in reports) == 0
    assert sum(report["studies_computed"] > 0 for report in reports) > 1
    joined = _distil(clinic, sam, tmp_path / "joined", store, WITH)
    assert joined["studies_computed"] == 0
    _distil(clinic, sam, tmp_path / "alone", KeyedStore(tmp_path / "other"), WITH)
    assert sha256_tree(tmp_path / "joined") == sha256_tree(tmp_path / "alone")


@pytest.mark.parametrize(("studies", "seconds", "workers"), [(30, 0.4, 1), (30, 4.0, 4), (2, 100.0, 2), (0, 1.0, 1)])
def test_processes_are_started_only_where_they_pay(monkeypatch, studies, seconds, workers):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert distillation.useful_workers(4, studies, seconds) == workers
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert distillation.useful_workers(4, studies, seconds) == 1, "an accelerator is shared by no two"


def test_a_new_cohort_costs_only_its_own_studies(new_clinic, sam, store, tmp_path):
    """Another output folder, as each run of the pipeline has, and a larger data set."""
    splits = {"a": "train", "b": "validation", "c": "test"}
    smaller = new_clinic(tmp_path / "smaller", dict(list(splits.items())[:2]))
    larger = new_clinic(tmp_path / "larger", splits)
    _distil(smaller, sam, tmp_path / "first", store)
    report = _distil(larger, sam, tmp_path / "second", store)
    assert (report["studies_computed"], report["studies_taken_over"]) == (1, 2)
    for study in ("study-a", "study-b"):
        first, second = (tmp_path / run / f"{study}.npz" for run in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_a_killed_run_goes_on(clinic, sam, store, tmp_path, monkeypatch):
    calls = []

    def stop_at_third(*arguments):
        calls.append(1)
        if len(calls) == 5:  # two scans a study
            raise KeyboardInterrupt
        return predict(*arguments)

    monkeypatch.setattr(distillation, "predict", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        _distil(clinic, sam, tmp_path / "priors", store)
    assert not (tmp_path / "priors").exists()
    monkeypatch.setattr(distillation, "predict", predict)
    report = _distil(clinic, sam, tmp_path / "priors", store)
    assert report["studies_taken_over"] == 2


def test_another_adapter_means_other_keys(clinic, sam, sam_params, store, tmp_path):
    _distil(clinic, sam, tmp_path / "priors", store)
    inputs = adapt_sam.Inputs(clinic.dataset, clinic.truth)
    adapt_sam.run(sam_params(steps=1, validate_every=1), inputs, adapt_sam.Outputs(tmp_path / "sam"), SilentTracker())
    first = read_json(tmp_path / "priors" / INDEX)
    report = _distil(clinic, tmp_path / "sam", tmp_path / "priors", store)
    second = read_json(tmp_path / "priors" / INDEX)
    assert report["studies_taken_over"] == 0
    assert first["key"] != second["key"]
    assert not {e["key"] for e in first["studies"].values()} & {e["key"] for e in second["studies"].values()}


@pytest.mark.parametrize(
    "change",
    [
        {"rapid_counts_sha256": "0" * 64},
        {"standard_counts_sha256": "0" * 64},
        {"count_ratio": 1.9},
        {"spacing_mm": 2.0},
    ],
)
def test_a_studys_key_depends_on_its_data(clinic, change):
    row = Dataset.open(clinic.dataset).table.iloc[0]
    assert study_key(row, "sam", WITH) == study_key(row.copy(), "sam", WITH)
    changed = row.copy()
    for name, value in change.items():
        changed[name] = value
    assert study_key(changed, "sam", WITH) != study_key(row, "sam", WITH)
    assert study_key(row, "other", WITH) != study_key(row, "sam", WITH)
    assert study_key(row, "sam", WITHOUT) != study_key(row, "sam", WITH)


def test_a_studys_key_depends_on_the_code_that_asks_and_on_nothing_else_of_the_machine(clinic, tmp_path, monkeypatch):
    row = Dataset.open(clinic.dataset).table.iloc[0]
    before = study_key(row, "sam", WITH)
    assert study_key(row, "sam", WITH.model_copy(update={"workers": 7})) == before
    changed = tmp_path / "canvas.py"
    changed.write_bytes(Path(canvas.__file__).read_bytes() + b"# other")
    monkeypatch.setattr(canvas, "__file__", str(changed))
    priors.answering_code_sha256.cache_clear()
    assert study_key(row, "sam", WITH) != before
    monkeypatch.undo()
    priors.answering_code_sha256.cache_clear()
    assert study_key(row, "sam", WITH) == before


def test_a_damaged_prior_is_computed_again(clinic, sam, store, tmp_path):
    _distil(clinic, sam, tmp_path / "priors", store)
    whole = sha256_tree(tmp_path / "priors")
    first, second = sorted(store.folder.rglob("*.npz"))[:2]
    shutil.copy(first, second)
    assert _distil(clinic, sam, tmp_path / "priors", store)["studies_computed"] == 1
    assert sha256_tree(tmp_path / "priors") == whole
    assert _distil(clinic, sam, tmp_path / "priors", store)["studies_computed"] == 0, "the store has healed"


def test_writers_of_one_store_do_not_disturb_each_other(store):
    """Many threads write and read two priors; a reader sees a whole prior or none, and nothing is left behind."""
    made = {key: Prior(*(np.full((5, 2, 40, 20), value, np.uint8) for _ in range(2))) for key, value in KEYS.items()}

    def write_and_read(number: int) -> bool:
        key = list(KEYS)[number % 2]
        path = store.put(key, partial(save_prior, prior=made[key]))
        found = store.find(key)
        return found == path and (load_prior(found.parent, found.stem).masks_rapid == KEYS[key]).all()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write_and_read, range(40)))
    assert len(list(store.folder.rglob("*"))) == 4, "two shelves, two priors"


def test_the_store_is_named_by_the_environment(clinic, sam, tmp_path, monkeypatch):
    monkeypatch.setenv(distil_priors.PRIOR_STORE, str(tmp_path / "volume"))
    inputs = distil_priors.Inputs(clinic.dataset, sam)
    for run, computed in (("one", 5), ("two", 0)):
        report = distil_priors.run(WITHOUT, inputs, distil_priors.Outputs(tmp_path / run), SilentTracker())
        assert report["studies_computed"] == computed
    assert len(list((tmp_path / "volume").rglob("*.npz"))) == 5
    monkeypatch.delenv(distil_priors.PRIOR_STORE)
    monkeypatch.setenv(CHECKPOINTS, str(tmp_path / "checkpoints"))
    assert distil_priors.prior_store() == tmp_path / "checkpoints" / "priors"
    monkeypatch.delenv(CHECKPOINTS)
    monkeypatch.chdir(tmp_path)
    assert distil_priors.prior_store() == tmp_path / ".scintiflow" / "priors"
