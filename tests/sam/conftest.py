"""Fixtures of the SAM tests: crude children and short recipes."""

from collections.abc import Callable

import pytest
from crude_child import Clinic, CrudeChild, crude_child, small_architecture, write_clinic

from scintiflow.params import AdaptSamParams


@pytest.fixture
def child() -> Callable[..., CrudeChild]:
    return crude_child


@pytest.fixture(scope="session")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    splits = {"a": "train", "b": "train", "c": "train", "d": "validation", "e": "test"}
    return write_clinic(tmp_path_factory.mktemp("clinic"), splits)


@pytest.fixture(scope="session")
def new_clinic() -> Callable[..., Clinic]:
    return write_clinic


@pytest.fixture(scope="session")
def sam_params() -> Callable[..., AdaptSamParams]:
    def make(image_size: int = 64, **changes) -> AdaptSamParams:
        values = {
            "architecture": small_architecture(image_size),
            "trainable": "all",
            "decoder_too": True,
            "lora_rank": 4,
            "adapter_width": 8,
            "cached_variations": 1,
            "exact_targets": False,
            "structures_per_step": 5,
            "seed": 1,
            "steps": 4,
            "scans_per_step": 1,
            "learning_rate": 0.001,
            "validate_every": 2,
            "focal_weight": 20.0,
            "display_ceiling_counts": 40.0,
            "prompt_jitter": 0.1,
            "shape_prompts": True,
        }
        return AdaptSamParams(**(values | changes))

    return make
