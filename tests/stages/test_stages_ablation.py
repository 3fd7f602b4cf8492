"""The ablation's pipeline: a loop over trainings whose items hold everything, SAM as it comes, both networks."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from kfp import compiler

from scintiflow.cluster import ablation as launcher
from scintiflow.params import AblationArmParams, load_params, parse_section
from scintiflow.restoration.cascade import Cascade
from scintiflow.restoration.restorer import load_restorer, load_second_restorer, save_cascade
from scintiflow.restoration.variants import ARMS, ablation_arm, first_alone, plain_unet
from scintiflow.sam.adapter import load_adapted_sam
from scintiflow.sam.build import build_sam
from scintiflow.sam.unadapted import save_unadapted
from scintiflow.stages.code_version import code_version
from scintiflow.stages.graph import ABLATION_STAGES
from scintiflow.structures import STRUCTURES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def params():
    return load_params(ROOT / "params.yaml", ROOT / "tests" / "e2e" / "tiny.yaml")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    from pipelines.ablation import ablation

    target = tmp_path_factory.mktemp("ir") / "ablation.yaml"
    compiler.Compiler().compile(ablation, str(target))
    return next(yaml.safe_load_all(target.read_text()))


def test_the_loop_reads_nothing_from_outside_but_artifacts_and_its_item(compiled):
    loops = [task for task in compiled["root"]["dag"]["tasks"].values() if "parameterIterator" in task]
    assert len(loops) == 1
    assert set(loops[0]["inputs"].get("parameters", {})) == {"pipelinechannel--arms"}
    assert len(loops[0]["inputs"]["artifacts"]) == 3


def test_every_task_carries_the_hash_of_its_code(compiled):
    loop = next(component["dag"]["tasks"] for component in compiled["components"].values() if "dag" in component)
    tasks = [task for task in (compiled["root"]["dag"]["tasks"] | loop).values() if "parameterIterator" not in task]
    assert len(tasks) == 7
    for task in tasks:
        stage = task["componentRef"]["name"].removeprefix("comp-").removesuffix("-2").replace("-", "_")
        carried = task["inputs"]["parameters"]["code_version"]
        assert carried == {"runtimeValue": {"constant": code_version(stage)}}


@pytest.mark.parametrize("spec", ABLATION_STAGES, ids=lambda spec: spec.name)
def test_components_and_stages_have_the_inputs_of_the_graph(spec):
    component = getattr(__import__(f"components.{spec.name}", fromlist=[spec.name]), spec.name)
    arguments = set(inspect.signature(component.python_func).parameters)
    assert {*spec.reads, spec.writes, "report"} - {"truth"} <= arguments  # truth travels in the loop's item
    module = __import__(f"scintiflow.stages.{spec.name}", fromlist=["run"])
    assert set(getattr(module.Inputs, "__dataclass_fields__", {})) == set(spec.reads)
    assert set(module.Outputs.__dataclass_fields__) - {"checkpoints"} == {spec.writes}


def test_each_item_is_one_whole_training(params, monkeypatch):
    sources = {"cohorts": "c", "cohorts_sha256": "1", "truth": "t", "truth_sha256": "2"}
    sections = {f"{name}_params": "{}" for name in launcher.SHARED}
    monkeypatch.setattr(launcher, "retrain_arguments", lambda *_, **__: sources | sections)
    arguments = launcher.ablation_arguments(params, ROOT)
    items = [json.loads(item) for item in arguments["arms"]]
    assert len(items) == len(ARMS) * 2
    found = [parse_section("ablation_arm", json.dumps(item["params"])) for item in items]
    assert all(isinstance(section, AblationArmParams) for section in found)
    assert {(section.arm, section.train_cascade.seed) for section in found} == {(a, s) for a in ARMS for s in (1, 2)}
    assert {item["truth"] for item in items} == {"t"}
    assert set(arguments) == {*sources, *sections, "arms"}


def test_each_arm_adds_one_part_of_the_method(params):
    arms = {name: ablation_arm(params.train_cascade, name) for name in ARMS}
    parts = {
        name: (arm.spi, bool(arm.skd_output_weight), bool(arm.skd_feature_weight), bool(arm.scm_weight))
        for name, arm in arms.items()
    }
    assert parts == {
        "none": (False, False, False, False),
        "spi": (True, False, False, False),
        "spi_skd": (True, True, True, False),
        "spi_skd_scm": (True, True, True, True),
        "unadapted": (True, True, True, True),
    }
    assert {(arm.seed, arm.steps) for arm in arms.values()} == {
        (params.train_cascade.seed, params.train_cascade.steps)
    }
    assert first_alone(params.train_cascade).first == params.train_cascade.first
    assert plain_unet(params.train_cascade).first.backbone == "unet"


def test_sam_as_it_comes_is_the_network_before_adaptation(params, tmp_path):
    save_unadapted(params.adapt_sam, tmp_path / "sam")
    found, description = load_adapted_sam(tmp_path / "sam")
    built, _ = build_sam(params.adapt_sam.architecture, params.adapt_sam.seed)
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), built.parameters(), strict=True))
    assert "not adapted" in description["provenance"]["text"]


@pytest.mark.parametrize("views", [1, 2])
def test_the_second_network_restores_with_the_masks_it_is_given(params, tmp_path, views):
    recipe = params.train_cascade.model_copy(update={"views": views})
    cascade = Cascade(recipe).eval()
    with torch.no_grad():  # fresh networks end in zeros and would not answer to masks
        for parameter in cascade.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    save_cascade(tmp_path, cascade, recipe, "")
    rapid = np.random.default_rng(2).poisson(3.0, (2, 64, 48)).astype(np.uint16)
    masks = np.zeros((len(STRUCTURES), *rapid.shape), dtype=np.float32)
    masks[:2, :, 10:50] = 1
    restored = load_second_restorer(tmp_path, lambda counts: masks)(rapid, 2.0)
    assert restored.shape == rapid.shape
    assert np.isfinite(restored).all()
    assert not np.allclose(restored, load_second_restorer(tmp_path, lambda counts: 0 * masks)(rapid, 2.0))
    assert not np.allclose(restored, load_restorer(tmp_path)(rapid, 2.0))
    if views == 1:
        counts, k = torch.from_numpy(rapid[:1, None].astype(np.float32)), torch.tensor([2.0])
        with torch.no_grad():
            expected = cascade.second(cascade.first(counts, k), torch.from_numpy(masks[None, :, 0])).counts
        assert np.allclose(restored[0], expected[0, 0].numpy(), rtol=1e-4, atol=1e-5)
