"""A node whose model multiplies by k: for tests, and as a program that may be killed."""

import json
import sys
import threading
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "dicom"))

from scintiflow.dicom.derived import ModelIdentity, restored_object
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.whole_body import save_object
from scintiflow.node.service import running_node
from scintiflow.params import NodeParams

IDENTITY = ModelIdentity("toy", "7", "ab" * 32)


def restore(source: Path, target: Path) -> tuple[str, ...]:
    scan = read_scan(source)
    save_object(target, restored_object(source, scan.counts * 2.0, IDENTITY, "Twice the counts"))
    return ()


def main() -> None:
    params = NodeParams.model_validate(json.loads(Path(sys.argv[1]).read_text()))
    slowness = float(sys.argv[2])

    def slow_restore(source: Path, target: Path) -> tuple[str, ...]:
        time.sleep(slowness)
        return restore(source, target)

    with running_node(params, slow_restore, IDENTITY):
        print("ready", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
