"""The reference model: an f^IR1 trained on simulated children alone, which the project carries with it.

Not a stage of the pipeline: it is made once, by `scintiflow reference train`, so that a new user restores a scan
minutes after cloning, and so that retraining need not start from nothing.
"""

import os
from pathlib import Path

import numpy as np

from scintiflow.dataset.examples import Study
from scintiflow.dataset.scenes import SceneSampler
from scintiflow.files import whole_folder, write_json
from scintiflow.params import Params, ReferenceRecipe, changed
from scintiflow.phantom.child import Velocities, simulate_child
from scintiflow.phantom.cohort import phantom_code_version
from scintiflow.phantom.components import load_components, make_components
from scintiflow.progress import work
from scintiflow.restoration.restorer import SECOND, save_cascade
from scintiflow.restoration.training import fit
from scintiflow.restoration.validation import thinned_views
from scintiflow.stages.code_version import code_version
from scintiflow.tracking import Tracker

VALIDATION_SEED = 1  # added to the seed of the training children: nobody is in both
LESIONS_AT_MOST = 5
RECIPE = "recipe.json"


def train_reference(recipe: ReferenceRecipe, params: Params, folder: Path, tracker: Tracker) -> dict[str, float]:
    """Train f^IR1 on scenes of simulated children and write it to `folder`/model; a killed run goes on.

    Args:
        recipe: what `reference/recipe.yaml` says.
        params: gives the train_cascade keys that the recipe does not name, and the protocol.
        folder: children, checkpoint and the finished model.

    Returns the noise-corrected validation PSNR in dB of f^IR1 on pairs thinned from simulated children.
    """
    scenes, training = recipe.scenes, changed(params.train_cascade, **recipe.train_cascade)
    paths = make_components(
        folder / f"children-{scenes.seed}-{phantom_code_version()[:12]}",
        scenes.seed,
        scenes.children,
        scenes.youngest_years,
        scenes.oldest_years,
        os.cpu_count() or 1,
    )
    sampler = SceneSampler(
        [load_components(path) for path in paths],
        scenes,
        training.patch_pixels,
        training.patches_per_step,
        training.views,
    )
    identity = f"{training.sha256()} {scenes.sha256()} {code_version('train_cascade')}"
    views = thinned_views(_held_out(recipe, params), training.seed, training.views)
    module = fit(training, sampler, views, folder / "checkpoints", identity, tracker)
    with whole_folder(folder / "model") as partial:
        save_cascade(partial, module.averaged_cascade, training, scenes.sha256(), scenes.accelerations)
        (partial / SECOND).unlink()  # it learned nothing
        module.curves.save(partial)
        write_json(partial / RECIPE, recipe.model_dump())
    return {"validation_psnr_first_db": module.curves.rows[-1]["validation_psnr_first_db"]}


def _held_out(recipe: ReferenceRecipe, params: Params) -> list[Study]:
    """Simulated children as the pipeline sees them, at its own protocol."""
    scenes, protocol = recipe.scenes, params.ingest.protocol
    velocities = Velocities(protocol.standard_velocity_mm_s, protocol.rapid_velocity_mm_s)
    studies = []
    with work("simulate validation children", scenes.validation_children) as bar:
        for index in range(scenes.validation_children):
            child = simulate_child(
                scenes.seed + VALIDATION_SEED, index, velocities, scenes.youngest_years, scenes.oldest_years,
                LESIONS_AT_MOST,
            )  # fmt: skip
            masks = child.truth.masks_standard.astype(np.uint8) * np.uint8(255)
            still = tuple((0, 0) for _ in range(len(child.counts_rapid)))
            studies.append(Study(child.counts_rapid, child.counts_standard, masks, child.count_ratio, still))
            bar.advance()
    return studies
