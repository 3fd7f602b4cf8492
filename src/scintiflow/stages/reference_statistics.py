"""What the reference model learned from, in the terms of `scintiflow drift`.

Its training drew speeds, pixel sizes and counts anew for every patch, over ranges of the recipe; how often each came
says nothing of how well the model knows it. So these features are kept as ranges (`drift.cohort`). What can only be
measured, how its pictures agree with the counts, is kept as the distribution on held-out children. Ages and cameras
are not compared: the children are of all ages that the recipe names, and no real camera was seen.
"""

from pathlib import Path
from typing import Any

import numpy as np

from scintiflow.drift.cohort import TRAINING_COHORT, WEIGHTS, ranges_cohort
from scintiflow.drift.features import coarse_counts, coarse_deviance
from scintiflow.files import write_json
from scintiflow.params import Params, ReferenceRecipe
from scintiflow.phantom.camera import SPACING_MM
from scintiflow.restoration.model_folder import checkpoint_sha256
from scintiflow.stages.reference_held_out import held_out, trained_range

COUNTS_SHARE = 0.05  # of children below and above, who do not widen the range of counts


def describe_reference(recipe: ReferenceRecipe, params: Params, folder: Path) -> dict[str, Any]:
    """Write `training_cohort.json` into a model's folder, and return it; nothing is trained."""
    scenes, protocol = recipe.scenes, params.ingest.protocol
    seen = list(held_out(recipe, protocol, folder, "describing simulated children"))
    deviances = [coarse_deviance(each.rapid, each.restored, each.count_ratio) for each in seen]
    slowest, fastest = trained_range(folder, protocol)
    totals = np.array([each.standard.sum(axis=(1, 2), dtype=np.int64) for each in seen])  # [scan, view]
    fewest, most = np.quantile(totals, [COUNTS_SHARE, 1 - COUNTS_SHARE], axis=0)
    counts = {
        f"counts_{view}": (
            float(coarse_counts(low * scenes.counts[0] / fastest) or 0.0),
            float(coarse_counts(high * scenes.counts[1] / slowest) or 0.0),
        )
        for view, low, high in zip(("anterior", "posterior"), fewest, most, strict=True)
    }
    found = ranges_cohort(
        scenes.children,
        {
            **counts,
            "velocity_mm_s": tuple(round(k * protocol.standard_velocity_mm_s, 3) for k in (slowest, fastest)),
            "spacing_mm": tuple(round(SPACING_MM / scale, 3) for scale in reversed(scenes.scales)),
        },
        [value for value in deviances if value is not None],
    )
    write_json(folder / TRAINING_COHORT, found | {WEIGHTS: checkpoint_sha256(folder)})
    return found
