"""A virtual environment that holds what some requirements ask for and nothing else, made of links in a second.

Downloading torch for every test run would take minutes. The packages are those that are installed here; what the
requirements do not lead to is not there, as on a fresh machine.
"""

import stat
import sys
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement


def linked_environment(folder: Path, requirements: list[str]) -> Path:
    """Make the environment; returns its folder of programs. Raises AssertionError if a pin is not what is here."""
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    programs = folder / "bin"
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for found in _closure(requirements):
        for name in {path.parts[0] for path in found.files or () if path.parts[0] not in ("..", "__pycache__")}:
            if not (packages / name).is_symlink():
                (packages / name).symlink_to(Path(str(found.locate_file(name))).resolve())
        for entry in found.entry_points.select(group="console_scripts"):
            module, _, function = entry.value.split(" ")[0].partition(":")
            program = programs / entry.name
            program.write_text(
                f"#!{programs / 'python'}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"
            )
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return programs


def _closure(requirements: list[str]) -> list[Distribution]:
    found: dict[str, Distribution] = {}
    waiting = [(Requirement(text), "") for text in requirements]
    done = set()
    while waiting:
        wanted, extra = waiting.pop()
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        key = (wanted.name.lower(), frozenset(wanted.extras))
        if key in done:
            continue
        done.add(key)
        there = distribution(wanted.name)
        assert wanted.specifier.contains(there.version, prereleases=True), f"{wanted} is asked for"
        found[there.name.lower()] = there
        for text in there.requires or []:
            waiting += [(Requirement(text), each) for each in ("", *wanted.extras)]
    return list(found.values())
