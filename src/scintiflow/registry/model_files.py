"""A registered model's files on this machine: f^IR1, and what was registered with it."""

import shutil
import tempfile
from pathlib import Path

import mlflow

from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file

CASCADE = "cascade"  # the pyfunc's artifact that holds the weights


def download_model(name: str, version: str, checkpoint_sha256: str, folder: Path) -> None:
    """Put a version's files into an existing folder, as `restoration.restorer.load_restorer` opens it.

    Raises ScintiflowError if the weights that the registry gives are not the registered ones.
    """
    uri = f"models:/{name}/{version}"
    with tempfile.TemporaryDirectory() as place:
        inside = mlflow.models.get_model_info(uri).flavors["python_function"]["artifacts"][CASCADE]["path"]
        for path in Path(mlflow.artifacts.download_artifacts(f"{uri}/{inside}", dst_path=place)).iterdir():
            shutil.copyfile(path, folder / path.name)
    if checkpoint_sha256 not in {sha256_file(path) for path in folder.iterdir()}:
        raise ScintiflowError(
            "the registry's weights are not those that were registered",
            where=uri,
            remedy="Look at that version; `scintiflow models rollback` goes back to the champion before",
        )
