"""The image's bill of materials: Python's packages, as cyclonedx-py listed them, and Debian's.

    python bill_of_materials.py PYTHON.json TARGET.json

CycloneDX 1.6, checked against its schema. It names no time and no random serial number, so that the same image has
the same bill.
"""

import json
import platform
import subprocess
import sys
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL


def debian_packages() -> list[Component]:
    """What dpkg has installed, with the names and versions under which Debian's security tracker knows it."""
    fields = "${db:Status-Status}\\t${Package}\\t${Version}\\t${Architecture}\\t${source:Package}\\n"
    listed = subprocess.run(["dpkg-query", "-W", "-f", fields], capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in listed.splitlines()]
    return [_component(*row[1:]) for row in rows if row[0] == "installed"]


def _component(name: str, version: str, architecture: str, source: str) -> Component:
    system = platform.freedesktop_os_release()
    qualifiers = {"arch": architecture, "distro": f"{system['ID']}-{system.get('VERSION_ID', '')}"}
    if source != name:
        qualifiers["upstream"] = source
    url = PackageURL("deb", system["ID"], name, version, qualifiers)
    return Component(name=name, version=version, type=ComponentType.LIBRARY, purl=url, bom_ref=str(url))


def main(python: Path, target: Path) -> None:
    bom = Bom.from_json(json.loads(python.read_text()))  # type: ignore[attr-defined]
    packages = len(bom.components)
    debian = debian_packages()
    bom.components.update(debian)
    content = JsonV1Dot6(bom).output_as_string(indent=1)
    written = json.loads(content)
    written.pop("serialNumber", None)
    written["metadata"].pop("timestamp", None)
    content = json.dumps(written, indent=1, sort_keys=True)
    errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(content)
    if errors:
        raise SystemExit(f"the bill of materials breaks its schema: {errors}")
    target.write_text(content + "\n")
    print(f"{packages} packages of Python and {len(debian)} of Debian in the bill of materials")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
