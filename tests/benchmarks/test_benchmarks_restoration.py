"""The benchmark of restoration: every row in one table, taken up where it was killed, paired by child."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "restoration.py"
sys.path.insert(0, str(SCRIPT.parent))

import restoration  # noqa: E402
from restoring.children import Plan  # noqa: E402  a script's parts are found beside the script
from restoring.methods import ROWS, TRAINED, operations_per_step, recipe_of  # noqa: E402
from restoring.table import markdown  # noqa: E402

from scintiflow.evaluation.baselines import NonLocalMeans  # noqa: E402
from scintiflow.params import NetworkParams, load_params  # noqa: E402


@pytest.fixture(scope="module")
def params():
    return load_params(ROOT / "params.yaml", ROOT / "profiles" / "laptop.yaml")


def smoke(folder: Path, *more: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), "--smoke", "--workers", "1", "--folder", str(folder), *more]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_smoke_fills_the_table_and_a_second_run_computes_nothing(tmp_path):
    first = smoke(tmp_path, "--rows", "identity,full")
    assert first.returncode == 0, first.stderr
    (table,) = tmp_path.glob("rows-*/table.md")
    text = table.read_text()
    for title in ("rapid scan x k", "full method", "a second standard scan", "the truth (ceiling)"):
        assert f"| {title}" in text
    assert "Machine: " in text
    assert "Command: `python benchmarks/restoration.py --smoke" in text
    results = sorted(tmp_path.glob("rows-*/*/result.json"))
    assert [path.parent.name for path in results] == ["full-seed1", "identity"]

    before = {path: path.stat().st_mtime_ns for path in results}
    results[0].unlink()  # as if killed during this row
    again = smoke(tmp_path, "--rows", "identity,full")
    assert again.returncode == 0, again.stderr
    assert "simulate children" not in again.stderr.replace("simulate children: 0/0", "")
    assert {path for path in results if path.stat().st_mtime_ns != before[path]} == {results[0]}
    moment = r"\| [0-9.]+ \| [0-9,]+ \| 2 \| 1 \||, load [0-9.]+"
    without_clock = [re.sub(moment, "", run.stdout) for run in (first, again)]
    assert without_clock[0] == without_clock[1]  # the row trained anew has the same scores


def test_unknown_rows_are_refused_by_name_and_known_ones_keep_their_order():
    assert restoration.row_names("full,identity") == ["identity", "full"]
    with pytest.raises(argparse.ArgumentTypeError, match="no such row: magic"):
        restoration.row_names("identity,magic")


def test_every_trained_row_is_a_valid_recipe_and_ablations_differ_in_one_thing(params):
    base = params.train_cascade
    recipes = {name: recipe_of(name, base, 3) for name in TRAINED}
    assert all(recipe.seed == 3 for recipe in recipes.values())
    assert recipes["unet"].first.backbone == recipes["unet"].second.backbone == "unet"
    full = recipes["full"].model_dump()
    for name in (row for row in TRAINED if row.startswith("without-")):
        differing = {key for key, value in recipes[name].model_dump().items() if value != full[key]}
        assert len({key.split("_")[0] for key in differing}) == 1, name
    assert len(ROWS) == len(set(ROWS))


def test_equal_compute_means_equal_arithmetic(params):
    base = params.train_cascade.model_copy(
        update={"first": NetworkParams(width=8, blocks=[1, 1]), "second": NetworkParams(width=8, blocks=[1, 1])}
    )
    alone, full = recipe_of("first-compute", base, 1), recipe_of("full", base, 1)
    assert alone.steps > full.steps
    spent = [recipe.steps * operations_per_step(recipe) for recipe in (alone, full)]
    assert spent[0] == pytest.approx(spent[1], rel=0.01)
    assert operations_per_step(recipe_of("first", base, 1)) < operations_per_step(recipe_of("cascade", base, 1))


def test_held_out_children_do_not_depend_on_how_many_train():
    few, many = (Plan(train, 2, 4, 1, 1.0, 9.0, 3, 3.333, 6.667) for train in (5, 50))
    assert [few.split_of(index) for index in range(11)] == [many.split_of(index) for index in range(11)]
    assert few.split_of(3) == "test"
    assert few.split_of(5) == "validation"
    assert few.split_of(6) == "train"


def test_the_table_averages_seeds_and_pairs_children(params):
    children = [f"child{number}" for number in range(8)]
    easy = {child: 30.0 + 2 * number for number, child in enumerate(children)}
    lines = []
    for child in children:
        lines.append({"method": "bm3d", "patient": child, "seed": None, "psnr_truth": easy[child]})
        for seed, gain in ((1, 0.5), (2, 1.5)):
            lines.append({"method": "full", "patient": child, "seed": seed, "psnr_truth": easy[child] + gain})
    metrics = (
        "psnr_standard", "ssim_truth", "count_bias", "bone_bias", "lesion_contrast", "lesion_cnr", "false_hot_spots",
        "mse_corrected", "seconds",
    )  # fmt: skip
    scores = pd.DataFrame(lines).assign(**dict.fromkeys(metrics, 1.0))
    facts = {"full": [{"seed": 1, "parameters": 1234, "steps": 7}, {"seed": 2, "parameters": 1234, "steps": 7}]}
    row = next(line for line in markdown(scores, facts, params.evaluate).splitlines() if "full method" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1].startswith("38.00 +-0.71 [")
    assert "+1.00 [+1.00, +1.00]" in cells  # children differ by 14 dB, their differences not at all
    assert cells[-3:] == ["1,234", "7", "2"]


def test_non_local_means_denoises_and_keeps_counts():
    import numpy as np

    generator = np.random.default_rng(1)
    mean = np.full((2, 64, 48), 0.1)
    mean[:, 8:56, 8:40] = 3.0
    estimate = NonLocalMeans()(generator.poisson(mean).astype(np.uint16), 2.0)
    inside = slice(None), slice(14, 50), slice(14, 34)
    assert estimate[inside].mean() == pytest.approx(6.0, rel=0.03)
    assert estimate[inside].std() < 0.5 * np.sqrt(6.0 * 2)
    assert estimate.min() >= 0
