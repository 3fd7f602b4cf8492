"""Priors: complete, keyed by everything they depend on, computed once."""

import shutil

import numpy as np
import pytest
from crude_child import Clinic

from scintiflow.dataset.manifest import Dataset
from scintiflow.dataset.priors import INDEX, load_prior
from scintiflow.files import read_json, sha256_tree
from scintiflow.params import DistilPriorsParams
from scintiflow.sam import priors
from scintiflow.sam.adapter import load_adapted_sam
from scintiflow.sam.prediction import predict
from scintiflow.sam.priors import distil, study_key
from scintiflow.stages import adapt_sam, distil_priors
from scintiflow.structures import STRUCTURES
from scintiflow.tracking import SilentTracker

WITH, WITHOUT = DistilPriorsParams(keep_embeddings=True), DistilPriorsParams(keep_embeddings=False)


@pytest.fixture(scope="module")
def sam(clinic: Clinic, sam_params, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam") / "sam"
    inputs = adapt_sam.Inputs(clinic.dataset, clinic.truth)
    adapt_sam.run(sam_params(steps=2), inputs, adapt_sam.Outputs(folder), SilentTracker())
    return folder


def _distil(clinic, sam, folder, params=WITHOUT, truth=None):
    return distil(Dataset.open(clinic.dataset), sam, params, folder, SilentTracker(), truth)


def test_every_study_gets_what_sam_answers_for_both_scans(clinic, sam, tmp_path):
    inputs = distil_priors.Inputs(clinic.dataset, sam)
    report = distil_priors.run(WITH, inputs, distil_priors.Outputs(tmp_path / "priors"), SilentTracker())
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
    how = (row["spacing_mm"], description["display_ceiling_counts"], description["fill_boxes"])
    expected, _ = predict(network, pair.rapid * np.float32(row["count_ratio"]), *how)
    assert np.abs(prior.masks_rapid / 255 - expected).max() < 0.005
    assert not np.array_equal(prior.masks_rapid, prior.masks_standard)
    index = read_json(tmp_path / "priors" / INDEX)
    assert "no pretrained weights" in index["sam"]["provenance"]
    assert "dice_rapid_truth_body" in report


def test_equal_inputs_give_equal_folders_and_nothing_is_computed_twice(clinic, sam, tmp_path):
    _distil(clinic, sam, tmp_path / "priors")
    before = sha256_tree(tmp_path / "priors")
    again = _distil(clinic, sam, tmp_path / "priors")
    assert again["studies_computed"] == 0
    assert "seconds_per_scan" not in again
    assert sha256_tree(tmp_path / "priors") == before
    _distil(clinic, sam, tmp_path / "elsewhere")
    assert sha256_tree(tmp_path / "elsewhere") == before


def test_a_killed_run_goes_on(clinic, sam, tmp_path, monkeypatch):
    calls = []

    def stop_at_third(*arguments):
        calls.append(1)
        if len(calls) == 5:  # two scans a study
            raise KeyboardInterrupt
        return predict(*arguments)

    monkeypatch.setattr(priors, "predict", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        _distil(clinic, sam, tmp_path / "priors")
    assert not (tmp_path / "priors").exists()
    monkeypatch.setattr(priors, "predict", predict)
    report = _distil(clinic, sam, tmp_path / "priors")
    assert report["studies_taken_over"] == 2
    assert not (tmp_path / "priors.unfinished").exists()


def test_another_adapter_means_other_keys(clinic, sam, sam_params, tmp_path):
    _distil(clinic, sam, tmp_path / "priors")
    inputs = adapt_sam.Inputs(clinic.dataset, clinic.truth)
    adapt_sam.run(sam_params(steps=1, validate_every=1), inputs, adapt_sam.Outputs(tmp_path / "sam"), SilentTracker())
    first = read_json(tmp_path / "priors" / INDEX)
    report = _distil(clinic, tmp_path / "sam", tmp_path / "priors")
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


def test_a_damaged_prior_is_computed_again(clinic, sam, tmp_path):
    _distil(clinic, sam, tmp_path / "priors")
    whole = sha256_tree(tmp_path / "priors")
    shutil.copy(tmp_path / "priors" / "study-a.npz", tmp_path / "priors" / "study-b.npz")
    assert _distil(clinic, sam, tmp_path / "priors")["studies_computed"] == 1
    assert sha256_tree(tmp_path / "priors") == whole
