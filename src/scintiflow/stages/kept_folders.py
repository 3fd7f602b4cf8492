"""Folders of finished work beyond one pod: on the volume of checkpoints, else in the working directory."""

import os
from pathlib import Path

from scintiflow.errors import ScintiflowError

CHECKPOINTS = "SCINTIFLOW_CHECKPOINTS"  # as in stages/checkpoints.py, where it may also be a bucket


def kept_folder(name: str) -> Path:
    """The folder `name` on the volume of checkpoints; where there is none, under `.scintiflow`."""
    volume = os.environ.get(CHECKPOINTS, "")
    return Path(volume) / name if volume and "://" not in volume else Path.cwd() / ".scintiflow" / name


def shared_folder(name: str, stage: str) -> Path:
    """The same, for pods that share the work of a stage: a ScintiflowError if they have no volume in common."""
    if "://" in os.environ.get(CHECKPOINTS, ""):
        raise ScintiflowError(
            "is a bucket, and pods that share the work of a stage hand it over on a volume",
            where=CHECKPOINTS,
            remedy=f"Let it name a volume that all pods mount, or set placement.{stage}.shards to 1",
        )
    return kept_folder(name)
