"""Simulated children that the reference model was neither trained nor validated with, restored by it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scintiflow.dataset.thinning import thinned_pair
from scintiflow.params import Protocol, ReferenceRecipe
from scintiflow.phantom.child import Velocities, simulate_child
from scintiflow.progress import work
from scintiflow.restoration.model_folder import trained_accelerations
from scintiflow.restoration.runtime import open_restorer

HELD_OUT_SEED = 2  # added to the seed of the training children
LESIONS_AT_MOST = 5
SPEEDS = 3  # from the lowest to the highest that was trained, in equal ratios


@dataclass(frozen=True)
class HeldOut:
    """A standard scan, thinned to a rapid one, and restored; all `[view, row, column]`, k = `count_ratio`."""

    standard: np.ndarray
    rapid: np.ndarray
    restored: np.ndarray
    count_ratio: float


def held_out(recipe: ReferenceRecipe, protocol: Protocol, folder: Path, label: str) -> Iterator[HeldOut]:
    """As many children as the recipe validates with, each at the lowest, the middle and the highest trained speed.

    `folder` holds the model; `label` names the work on the bar.
    """
    scenes = recipe.scenes
    seed = scenes.seed + HELD_OUT_SEED
    restore = open_restorer(folder, cores=2)
    velocities = Velocities(protocol.standard_velocity_mm_s, protocol.rapid_velocity_mm_s)
    ratios = np.unique(np.geomspace(*trained_range(folder, protocol), SPEEDS))
    with work(label, scenes.validation_children * len(ratios)) as bar:
        for index in range(scenes.validation_children):
            child = simulate_child(
                seed, index, velocities, scenes.youngest_years, scenes.oldest_years, LESIONS_AT_MOST
            )
            generator = np.random.default_rng([seed, index])
            for ratio in map(float, ratios):
                rapid = thinned_pair(child.counts_standard, ratio, generator).input
                yield HeldOut(child.counts_standard, rapid, restore(rapid, ratio), ratio)
                bar.advance()


def trained_range(folder: Path, protocol: Protocol) -> tuple[float, float]:
    """Lowest and highest k that the model in `folder` was trained for."""
    nominal = protocol.rapid_velocity_mm_s / protocol.standard_velocity_mm_s
    return trained_accelerations(folder) or (nominal, nominal)
