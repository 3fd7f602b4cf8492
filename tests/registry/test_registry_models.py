"""A registered model comes back from MLflow by alias and restores exactly as it did before."""

import mlflow
import numpy as np
import pytest
from small_cascade import small_cascade

from scintiflow.errors import ScintiflowError
from scintiflow.registry.champion import CHALLENGER, CHAMPION, CHECKPOINT_TAG, fetch_champion, read_champion
from scintiflow.registry.models import load_by_alias, load_registered, register_model
from scintiflow.registry.runs import open_client
from scintiflow.registry.surroundings import TRACKING_URI
from scintiflow.registry.verdict import Champion
from scintiflow.restoration.model_folder import checkpoint_sha256
from scintiflow.restoration.restorer import load_restorer
from scintiflow.stages.champion_restorer import champion_of
from scintiflow.tracking import SilentTracker


@pytest.fixture
def cascade(tmp_path):
    return small_cascade(tmp_path / "cascade")


def test_registered_model_restores_as_before(cascade, tmp_path, monkeypatch):
    monkeypatch.setenv(TRACKING_URI, f"sqlite:///{tmp_path}/mlflow.db")
    rapid = np.random.default_rng(5).poisson(3.0, (2, 70, 50)).astype(np.uint16)
    before = load_restorer(cascade)(rapid, 1.9)

    first = register_model(SilentTracker(), "toy", CHAMPION, cascade, {"gate": "passed"})
    second = register_model(SilentTracker(), "toy", CHALLENGER, cascade, {"gate": "not passed"})
    assert (first.version, second.version) == ("1", "2")

    restore, found = load_by_alias("toy", CHAMPION)
    assert (found.version, found.uri) == ("1", "models:/toy@champion")
    np.testing.assert_array_equal(restore(rapid, 1.9), before)
    assert not np.allclose(restore(rapid, 1.5), before)

    # the run that registered version 1 still gets it after the alias has moved on
    open_client().set_registered_model_alias("toy", CHAMPION, "2")
    assert load_by_alias("toy", CHAMPION)[1].version == "2"
    assert load_registered("toy", "1", CHAMPION)[1].version == "1"
    open_client().set_registered_model_alias("toy", CHAMPION, "1")

    version = open_client().get_model_version("toy", "1")
    assert version.tags["gate"] == "passed"
    information = mlflow.models.get_model_info("models:/toy@champion")
    assert information.signature.params.params[0].name == "count_ratio"
    assert information.signature.inputs.inputs[0].shape == (-1, -1, -1, -1)


def test_the_champion_is_fetched_by_alias_and_checked(cascade, tmp_path, monkeypatch):
    monkeypatch.setenv(TRACKING_URI, f"sqlite:///{tmp_path}/mlflow.db")
    for name in ("none", "champion", "altered"):
        (tmp_path / name).mkdir()
    assert fetch_champion("toy", tmp_path / "none") is None
    assert read_champion(tmp_path / "none") is None

    tags = {CHECKPOINT_TAG: checkpoint_sha256(cascade)}
    register_model(SilentTracker(), "toy", CHAMPION, cascade, tags)
    register_model(SilentTracker(), "toy", CHALLENGER, cascade, tags)
    found = fetch_champion("toy", tmp_path / "champion")
    assert found == read_champion(tmp_path / "champion") == Champion("toy", "1", tags[CHECKPOINT_TAG])
    rapid = np.random.default_rng(5).poisson(3.0, (2, 70, 50)).astype(np.uint16)
    np.testing.assert_array_equal(
        load_restorer(tmp_path / "champion")(rapid, 1.9), load_restorer(cascade)(rapid, 1.9)
    )
    about, restorers = champion_of(tmp_path / "champion", cascade)
    assert (about["version"], about["same_model"], restorers) == ("1", True, {})

    open_client().set_model_version_tag("toy", "1", CHECKPOINT_TAG, "f" * 64)
    with pytest.raises(ScintiflowError, match="not those that were registered"):
        fetch_champion("toy", tmp_path / "altered")


def test_unknown_alias_is_a_readable_error(tmp_path, monkeypatch):
    monkeypatch.setenv(TRACKING_URI, f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(ScintiflowError, match="no model with the alias 'champion'"):
        load_by_alias("toy", CHAMPION)
