"""Import every module of the project, and every package that any of them names, also inside functions.

The image's build runs it in the finished image as the image's user; one import that fails, and there is no image.
"""

import importlib
import pkgutil

import grimp

OWN = ("scintiflow", "components", "pipelines")


def own_modules() -> set[str]:
    """Names of all modules of the project; a package is imported to be walked."""
    found = set(OWN)
    for name in OWN:
        package = importlib.import_module(name)
        found |= {module.name for module in pkgutil.walk_packages(package.__path__, f"{name}.")}
    return found


def named_packages() -> set[str]:
    """Packages of others, as the import statements name them."""
    graph = grimp.build_graph(*OWN, include_external_packages=True, cache_dir=None)
    return {name for name in graph.modules if graph.is_module_squashed(name)}


def main() -> None:
    own, others = own_modules(), named_packages()
    for name in sorted(own | others):
        importlib.import_module(name)
    print(f"{len(own)} modules of the project and {len(others)} packages of others can be imported")


if __name__ == "__main__":
    main()
