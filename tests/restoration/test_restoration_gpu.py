"""On a CUDA device: the same pictures as on the CPU, in the time that a gamma camera's workplace expects."""

import time
from statistics import median

import numpy as np
import pytest
import torch

from scintiflow.dataset.examples import Study
from scintiflow.dataset.scenes import SceneSampler
from scintiflow.params import changed, load_params, load_reference_recipe
from scintiflow.phantom.child import Velocities, simulate_child
from scintiflow.phantom.components import simulate_components
from scintiflow.restoration.restorer import REFERENCE_FOLDER, load_restorer
from scintiflow.restoration.training import fit
from scintiflow.restoration.validation import thinned_views
from scintiflow.tracking import SilentTracker

DEVICE = "cuda"
SECONDS_PER_SCAN = 0.05  # two views of 1024 x 256, on a data-centre GPU
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="no CUDA device: run `pytest -m gpu` where there is one"
    ),
]


@pytest.fixture(scope="module")
def child():
    return simulate_child(31, 0, Velocities(3.333, 6.667), 4.0, 6.0, 3)


def test_a_gpu_restores_what_the_cpu_restores(child):
    on_cpu, on_gpu = (load_restorer(REFERENCE_FOLDER, device) for device in ("cpu", DEVICE))
    expected, found = (restore(child.counts_rapid, child.count_ratio) for restore in (on_cpu, on_gpu))
    noise = np.sqrt(1 + expected)  # of a standard scan's pixel; the device may round convolutions to ten bits
    assert np.abs((found - expected) / noise).max() < 0.05
    assert found.sum() == pytest.approx(expected.sum(), rel=1e-3)


def test_a_scan_takes_less_than_a_twentieth_of_a_second(child):
    restore = load_restorer(REFERENCE_FOLDER, DEVICE)
    scan = np.pad(child.counts_rapid, ((0, 0), (0, 1024), (0, 256)))[:, :1024, :256]
    seconds = []
    for _ in range(12):
        started = time.perf_counter()
        restore(scan, child.count_ratio)  # its answer is on the CPU: nothing is left to wait for
        seconds.append(time.perf_counter() - started)
    assert median(seconds[2:]) < SECONDS_PER_SCAN


def test_training_with_half_the_bits_learns(child, tmp_path):
    recipe = load_reference_recipe(REFERENCE_FOLDER / "recipe.yaml")
    base = load_params(REFERENCE_FOLDER.parent / "params.yaml").train_cascade
    small = {"steps": 60, "validate_every": 20, "checkpoint_every": 60, "patch_pixels": 64, "mixed_precision": True}
    training = changed(base, **(recipe.train_cascade | small | {"first": {"width": 8, "blocks": [1, 1]}}))
    sampler = SceneSampler([simulate_components(3, 0, 4.0, 6.0)], recipe.scenes, 64, training.patches_per_step)
    masks = child.truth.masks_standard.astype(np.uint8) * np.uint8(255)
    study = Study(child.counts_rapid, child.counts_standard, masks, child.count_ratio, ((0, 0), (0, 0)))
    module = fit(training, sampler, thinned_views([study], 1), tmp_path, "test", SilentTracker())
    validated = [row["validation_psnr_first_db"] for row in module.curves.rows if "validation_psnr_first_db" in row]
    assert np.isfinite(validated).all()
    assert validated[-1] > validated[0]
