"""From when on the reference model's restorations contradict their counts: limits from held-out children."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scintiflow.dataset.thinning import thinned_pair
from scintiflow.evaluation.agreement import Agreement, Calibration, agreement, calibrated, save_calibration
from scintiflow.params import Params, ReferenceRecipe
from scintiflow.phantom.camera import SPACING_MM
from scintiflow.phantom.child import Velocities, simulate_child
from scintiflow.progress import work
from scintiflow.restoration.model_folder import CALIBRATION, checkpoint_sha256, trained_accelerations
from scintiflow.restoration.runtime import Restore, open_restorer

HELD_OUT_SEED = 2  # added to the seed of the training children: neither trained on nor validated with
LESIONS_AT_MOST = 5
SPEEDS = 3  # from the lowest to the highest that was trained, in equal ratios


def calibrate_reference(recipe: ReferenceRecipe, params: Params, folder: Path) -> Calibration:
    """Write `calibration.json` into a model's folder.

    Each of the recipe's `validation_children` (other children than those) gives its standard scan, thinned to the
    lowest, the middle and the highest speed that the model was trained for.
    """
    protocol = params.ingest.protocol
    nominal = protocol.rapid_velocity_mm_s / protocol.standard_velocity_mm_s
    lowest, highest = trained_accelerations(folder) or (nominal, nominal)
    ratios = np.unique(np.geomspace(lowest, highest, SPEEDS))
    children = recipe.scenes.validation_children
    velocities = Velocities(protocol.standard_velocity_mm_s, protocol.rapid_velocity_mm_s)
    seen = list(_agreements(recipe, velocities, ratios, open_restorer(folder, cores=2)))
    words = f"{children} simulated children, thinned to k = {lowest:.2f} to {highest:.2f}"
    found = calibrated(seen, params.evaluate.refusal, words, checkpoint_sha256(folder))
    save_calibration(folder / CALIBRATION, found)
    return found


def _agreements(
    recipe: ReferenceRecipe, velocities: Velocities, ratios: np.ndarray, restore: Restore
) -> Iterator[Agreement]:
    scenes = recipe.scenes
    seed = scenes.seed + HELD_OUT_SEED
    with work("calibrating on simulated children", scenes.validation_children * len(ratios)) as bar:
        for index in range(scenes.validation_children):
            child = simulate_child(
                seed, index, velocities, scenes.youngest_years, scenes.oldest_years, LESIONS_AT_MOST
            )
            generator = np.random.default_rng([seed, index])
            for ratio in ratios:
                rapid = thinned_pair(child.counts_standard, float(ratio), generator).input
                yield agreement(rapid, restore(rapid, float(ratio)), float(ratio), SPACING_MM)
                bar.advance()
