"""What a verdict says and where the last one lies: all that `plan` reads, without the science that reached it."""

from pathlib import Path

from scintiflow.params import WatchParams

DRIFT, NO_DRIFT, TOO_FEW = "drift", "no drift", "too few scans"
TITLES = {
    "counts_anterior": "anterior counts",
    "counts_posterior": "posterior counts",
    "velocity_mm_s": "table velocity (mm/s)",
    "spacing_mm": "pixel spacing (mm)",
    "consistency_deviance": "consistency deviance",
    "age_band": "age",
    "scanner": "scanner",
}
VERDICTS, VERDICT = "verdicts", "drift.json"  # the folder in the watch folder, and the verdict in it
DRIFT_TAG = "drift"  # of the model's version, with the prefix of `tag_version`


def verdict_folder(params: WatchParams) -> Path:
    return Path(params.folder) / VERDICTS
