"""One share of ingest's work in a container without a network: `python share_in_container.py REQUEST`.

REQUEST is JSON: `repository` (a folder that is mounted at its own path), `ingest` (the section as JSON), `cohorts`
(SOURCE@SHA), `share`, `shares`, and what `start_containers` reads.
"""

import json
import sys
from pathlib import Path

from run_in_containers import start_containers

from components.ingest_share import ingest_share
from scintiflow.stages.code_version import code_version


def main(request: Path) -> None:
    wanted = json.loads(request.read_text())
    start_containers(
        wanted,
        "none",
        read_only={wanted["repository"]: wanted["repository"]},
        writable={"/checkpoints": wanted["checkpoints"]},
    )
    ingest_share(
        params=wanted["ingest"],
        code_version=code_version("ingest"),
        cohorts=wanted["cohorts"],
        cohorts_sha256="of this commit",
        share=wanted["share"],
        shares=wanted["shares"],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
