"""Model versions: register a trained cascade, load a restorer by alias. Never 'latest'."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
from mlflow.entities.model_registry import ModelVersion
from mlflow.models import ModelSignature
from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

from scintiflow.errors import ScintiflowError
from scintiflow.modality import BONE_SCAN
from scintiflow.registry.carried_code import carried_package, own_import_path, requirements
from scintiflow.registry.champion import CHECKPOINT_TAG, version_by_alias
from scintiflow.registry.model_files import CASCADE, download_model
from scintiflow.registry.runs import MlflowTracker, experiment_id, open_client
from scintiflow.registry.surroundings import git_sha, surroundings
from scintiflow.tracking import Tracker

Restore = Callable[[np.ndarray, float], np.ndarray]
MODALITY_TAG = "modality"
REGISTRATION = "registration.json"  # in the folder that the register stage writes


@dataclass(frozen=True)
class RegisteredModel:
    """A version in the registry, addressed by alias; `checkpoint_sha256` is of f^IR1's weights.

    `modality` is what it restores, see `scintiflow.modality`.
    """

    name: str
    version: str
    alias: str
    run_id: str
    checkpoint_sha256: str
    modality: str = BONE_SCAN.name

    @property
    def uri(self) -> str:
        return f"models:/{self.name}@{self.alias}"


def signature() -> ModelSignature:
    tensor = Schema([TensorSpec(np.dtype(np.float32), (-1, -1, -1, -1))])
    return ModelSignature(
        inputs=tensor, outputs=tensor, params=ParamSchema([ParamSpec("count_ratio", "double", 2.0)])
    )


def register_model(
    tracker: Tracker, name: str, alias: str, inference_files: Path, tags: dict[str, str], card: str = ""
) -> RegisteredModel:
    """Log the files that inference needs as a pyfunc, register a version and set its alias.

    Args:
        tracker: of the stage; its MLflow run gets the model, else a run of its own is made.
        inference_files: folder that `load_restorer` can open: f^IR1 alone.
        card: markdown that the version's page shows.
    """
    client = open_client()
    example = np.random.default_rng(0).poisson(2.0, (1, 2, 64, 64)).astype(np.float32)
    own_run = tracker.run_id if isinstance(tracker, MlflowTracker) else None
    experiment = None if own_run else experiment_id(client, surroundings())
    with (
        own_import_path(),
        carried_package() as package,
        mlflow.start_run(run_id=own_run, experiment_id=experiment, log_system_metrics=False) as active,
    ):
        run_id = active.info.run_id
        logged = mlflow.pyfunc.log_model(
            name="restoration",
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={CASCADE: str(inference_files)},
            code_paths=[str(package)],
            signature=signature(),
            input_example=example,
            pip_requirements=requirements(),
        )
    registered = mlflow.register_model(logged.model_uri, name, tags=tags | {"git_sha": git_sha()})
    if card:
        client.update_model_version(name, registered.version, card)
    client.set_registered_model_alias(name, alias, registered.version)
    return RegisteredModel(name, str(registered.version), alias, run_id, tags.get(CHECKPOINT_TAG, ""))


def load_by_alias(name: str, alias: str) -> tuple[Restore, RegisteredModel]:
    """The restorer of a registered version, loaded from MLflow, and what it is.

    Raises ScintiflowError when the registry has no such alias.
    """
    return _loaded(_version_behind(name, alias), alias)


def fetch_model(name: str, alias: str, folder: Path) -> RegisteredModel:
    """Put the files of the version behind an alias into an existing folder; what it is.

    Raises ScintiflowError when the registry has no such alias, or its weights are not the registered ones.
    """
    found = _version_behind(name, alias)
    checkpoint = found.tags.get(CHECKPOINT_TAG, "")
    download_model(found.name, str(found.version), checkpoint, folder)
    return RegisteredModel(found.name, str(found.version), alias, found.run_id or "", checkpoint)


def _version_behind(name: str, alias: str) -> ModelVersion:
    found = version_by_alias(open_client(), name, alias)
    if found is None:
        raise ScintiflowError(
            f"the registry has no model with the alias '{alias}'",
            where=f"models:/{name}@{alias}",
            remedy="Run `make run`, or name another model; `reference` is the one that comes along",
        )
    return found


def load_registered(name: str, version: str, alias: str) -> tuple[Restore, RegisteredModel]:
    """The version that a run has just registered, through its alias; by its number if the alias has moved on."""
    client = open_client()
    found = version_by_alias(client, name, alias)
    if found is None or str(found.version) != version:
        found = client.get_model_version(name, version)
    return _loaded(found, alias)


def _loaded(found: ModelVersion, alias: str) -> tuple[Restore, RegisteredModel]:
    # by number: the alias was read once, and may move before the files are
    with own_import_path():
        model = mlflow.pyfunc.load_model(f"models:/{found.name}/{found.version}")

    def restore(rapid: np.ndarray, count_ratio: float) -> np.ndarray:
        batch = np.asarray(rapid, np.float32)[None]
        return np.asarray(model.predict(batch, params={"count_ratio": float(count_ratio)}))[0]

    checkpoint, modality = found.tags.get(CHECKPOINT_TAG, ""), found.tags.get(MODALITY_TAG, BONE_SCAN.name)
    return restore, RegisteredModel(found.name, str(found.version), alias, found.run_id or "", checkpoint, modality)


def tag_version(name: str, version: str, tags: dict[str, str]) -> None:
    """Write provenance on a model version, where a reviewer sees it."""
    client = open_client()
    for tag, value in tags.items():
        client.set_model_version_tag(name, version, f"scintiflow.{tag}", value)
