"""`scintiflow weights status`: what is there, what is wrong, what to do."""

import hashlib
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from scintiflow.cli import app
from scintiflow.evaluation.weights import ABSENT, NOT_NAMED, PRESENT, WRONG, named_weights, weights_status
from scintiflow.params import load_params

ROOT = Path(__file__).parents[2]


@pytest.fixture
def recipe(tmp_path):
    """A recipe that names one right file, one wrong file and one that is absent."""
    for name in ("alexnet.pth", "inception.pth"):
        (tmp_path / name).write_bytes(name.encode())
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["evaluate"] |= {
        "lpips_trunk": str(tmp_path / "alexnet.pth"),
        "lpips_trunk_sha256": hashlib.sha256(b"alexnet.pth").hexdigest(),
        "inception": str(tmp_path / "inception.pth"),
        "inception_sha256": "0" * 64,
    }
    values["adapt_sam"]["architecture"]["checkpoint"] = str(tmp_path / "sam.pth")
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_every_file_has_its_state(recipe):
    states = [weights_status(weights).state for weights in named_weights(load_params(recipe))]
    assert states == [ABSENT, PRESENT, WRONG]
    laptop = load_params(ROOT / "params.yaml", ROOT / "profiles" / "laptop.yaml")
    assert {weights_status(weights).state for weights in named_weights(laptop)} == {NOT_NAMED}


def test_the_command_says_what_to_do_and_fails_on_a_wrong_file(recipe):
    result = CliRunner().invoke(app, ["weights", "status", "--params", str(recipe)])
    assert result.exit_code == 1
    assert "Segment Anything (vit_b): absent" in result.stdout
    assert "AlexNet (ImageNet, torchvision): present, hash right" in result.stdout
    assert hashlib.sha256(b"inception.pth").hexdigest() in result.stdout
    assert "evaluate.inception_sha256" in result.stdout
    assert "sha256sum" in result.stdout

    values = yaml.safe_load(recipe.read_text())
    values["evaluate"] |= {"inception": "", "inception_sha256": ""}
    recipe.write_text(yaml.safe_dump(values))
    result = CliRunner().invoke(app, ["weights", "status", "--params", str(recipe)])
    assert result.exit_code == 0
    assert "not named in the recipe" in result.stdout
