"""The champion, found by its alias and by nothing else: who it is, and its weights on this machine."""

from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode

from scintiflow.errors import ScintiflowError
from scintiflow.files import read_json, write_json
from scintiflow.registry.model_files import download_model
from scintiflow.registry.runs import open_client
from scintiflow.registry.verdict import Champion

CHAMPION, CHALLENGER = "champion", "challenger"
CHECKPOINT_TAG = "cascade_sha256"
WORK_TAG, COMPARED_TAG = "scintiflow.work_key", "compared_with"
DESCRIPTION = "champion.json"  # in the folder that the stage fetch_champion writes
NO_CHAMPION = "none"
ABSENT = {ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), ErrorCode.Name(INVALID_PARAMETER_VALUE)}


def version_by_alias(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """The version behind an alias; None if there is no such model or alias. A server that fails is an error."""
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ABSENT:
            return None
        raise ScintiflowError(
            f"MLflow does not answer ({error.error_code})",
            where=f"models:/{name}@{alias}",
            remedy="Check MLFLOW_TRACKING_URI and that the server runs",
        ) from None


def aliases_of(name: str, version: str) -> list[str]:
    """Aliases that a version has now: a decision may have moved them since it was registered."""
    found = open_client().get_registered_model(name).aliases
    return sorted(alias for alias, holder in found.items() if str(holder) == version)


def current_champion(name: str) -> Champion | None:
    """Who is champion now; None if the registry has none."""
    found = version_by_alias(open_client(), name, CHAMPION)
    return None if found is None else Champion(name, str(found.version), found.tags.get(CHECKPOINT_TAG, ""))


def fetch_champion(name: str, folder: Path) -> Champion | None:
    """Put the champion's f^IR1 into an existing folder, as `restoration.restorer.load_restorer` opens it.

    `champion.json` says who it is, also when there is none. Raises ScintiflowError if the weights that the registry
    gives are not the registered ones.
    """
    champion = current_champion(name)
    write_json(folder / DESCRIPTION, {"champion": None if champion is None else vars(champion)})
    if champion is None:
        return None
    # by version: the alias was read once, and may move while files travel
    download_model(name, champion.version, champion.checkpoint_sha256, folder)
    return champion


def read_champion(folder: Path) -> Champion | None:
    """Who lies in a folder that `fetch_champion` wrote; None if nobody does."""
    described = read_json(folder / DESCRIPTION)["champion"]
    return None if described is None else Champion(**described)


def identity(champion: Champion | None) -> str:
    """Text that changes with the champion."""
    return NO_CHAMPION if champion is None else f"{champion.version}:{champion.checkpoint_sha256}"


def champion_to_beat(name: str, work_key: str) -> str:
    """What a cache must know of the champion before a run that does the work of this key.

    It is the champion's identity, with one exception: if the champion itself came out of this very work, doing
    it again would only repeat that run. Then it is whom that run had to beat, so that nothing has changed.
    """
    found = version_by_alias(open_client(), name, CHAMPION)
    if found is None:
        return NO_CHAMPION
    if work_key and found.tags.get(WORK_TAG) == work_key:
        return found.tags.get(COMPARED_TAG, NO_CHAMPION)
    return identity(Champion(name, str(found.version), found.tags.get(CHECKPOINT_TAG, "")))
