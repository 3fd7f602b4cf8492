"""Files that a registered version carries beside its weights."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from scintiflow.errors import ScintiflowError
from scintiflow.registry.champion import CASCADE, CHECKPOINT_TAG, version_by_alias
from scintiflow.registry.runs import open_client


@contextmanager
def version_file(name: str, alias: str, file: str) -> Iterator[tuple[Path, str, str]]:
    """A file beside the weights of the version behind an alias: (path, version, SHA-256 of the weights).

    The path is gone when the block ends. Raises ScintiflowError if there is no such version or file.
    """
    found = version_by_alias(open_client(), name, alias)
    if found is None:
        raise ScintiflowError(
            f"the registry has no model with the alias '{alias}'",
            where=f"models:/{name}@{alias}",
            remedy="Name an existing model and alias",
        )
    uri = f"models:/{name}/{found.version}"
    with tempfile.TemporaryDirectory() as place:
        try:
            inside = mlflow.models.get_model_info(uri).flavors["python_function"]["artifacts"][CASCADE]["path"]
            path = Path(mlflow.artifacts.download_artifacts(f"{uri}/{inside}/{file}", dst_path=place))
        except (MlflowException, OSError):
            raise ScintiflowError(
                f"the version carries no {file}: it was registered before this was kept",
                where=uri,
                remedy="Retrain, or name the file",
            ) from None
        yield path, str(found.version), found.tags.get(CHECKPOINT_TAG, "")
