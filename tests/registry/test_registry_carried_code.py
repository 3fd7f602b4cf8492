"""A model carries the code that it runs and asks for the packages that this code imports: no more, no less."""

import ast
import sys
from importlib.metadata import packages_distributions

from scintiflow.registry.carried_code import RUNTIME_PACKAGES, carried_package


def imported(folder):
    """Top-level packages that the files of a folder import, wherever the import stands, but their own."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"scintiflow"}


def test_the_requirements_are_what_the_carried_code_imports():
    with carried_package() as package:
        wanted = {packages_distributions()[name][0].lower() for name in imported(package)}
        carried = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    assert wanted | {"mlflow", "numpy"} == set(RUNTIME_PACKAGES)
    assert {"restoration/runtime.py", "restoration/restorer.py"} <= carried
    assert "restoration/onnx_graph.py" not in carried  # writing a graph is the trainer's business
    assert "restoration/__init__.py" in carried
    assert not [path for path in carried if path.startswith(("cohorts", "dicom", "stages", "cluster", "registry"))]
    assert not package.exists()
