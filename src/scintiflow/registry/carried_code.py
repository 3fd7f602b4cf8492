"""What a registered model brings along, so that a machine without this project can serve it.

The model carries its own copy of the modules that restoring imports and nothing else: no pipeline, no DICOM, no
cohorts. Its requirements name what those modules import, pinned to what they were trained and checked with, and
MLflow with its scoring server. A wheel of the whole project would ask for everything that training needs.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import grimp

import scintiflow

ENTRANCE = "scintiflow.restoration.runtime"  # what `pyfunc_model` imports
RUNTIME_PACKAGES = ("mlflow", "numpy", "onnxruntime", "pydantic", "pyyaml", "safetensors", "scipy", "torch")


def requirements() -> list[str]:
    """Packages that a machine needs to serve the model, each pinned to the version that runs now."""
    return [f"{package}=={version(package)}" for package in RUNTIME_PACKAGES]


@contextmanager
def carried_package() -> Iterator[Path]:
    """A folder `scintiflow` with the modules that restoring imports; gone when the block ends."""
    with TemporaryDirectory() as place:
        package = Path(place) / "scintiflow"
        root = Path(scintiflow.__file__).parent
        for name in sorted(carried_modules()):
            source = Path(str(getattr(find_spec(name), "origin", None)))
            target = package / source.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        yield package


@contextmanager
def own_import_path() -> Iterator[None]:
    """What MLflow puts before `sys.path` when it loads a model goes away again.

    A process that is started later would find the model's copy of scintiflow there, which is not whole.
    """
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = before


def carried_modules() -> set[str]:
    """Names of the modules behind `ENTRANCE`, its own and the packages around them among them."""
    found = {ENTRANCE} | grimp.build_graph("scintiflow", cache_dir=None).find_upstream_modules(ENTRANCE)
    for name in tuple(found):
        parts = name.split(".")
        found |= {".".join(parts[:length]) for length in range(1, len(parts))}
    return found
