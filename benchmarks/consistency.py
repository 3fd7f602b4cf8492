"""What restorers of known virtues and vices show in the two numbers of the gate that need no truth.

    python benchmarks/consistency.py            # the children that the gate's margins were set on
    python benchmarks/consistency.py --seed 6   # others

Prints a markdown table: means over simulated children and, in brackets, the range of the children. The numbers are
the same on any machine.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from restoring.children import Plan, make_cohort
from scipy import ndimage

from scintiflow.dataset.manifest import Dataset
from scintiflow.evaluation.baselines import AnscombeBm3d, Gaussian, Identity, Restorer
from scintiflow.evaluation.scoring import score_dataset
from scintiflow.params import load_params
from scintiflow.restoration.restorer import load_restorer

ROOT = Path(__file__).parents[1]
SPOTS, SPOT_PIXELS, SPOT_RISE = 6, 2.5, 0.8  # for each view; sigma of their profile, and their peak
COLUMNS = {"psnr_truth": "PSNR vs truth, dB", "lesion_contrast": "lesion contrast"}
COUNTS = {"consistency_deviance": "deviance / expected", "unsupported_share": "unsupported, % of the body"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--children", type=int, default=8)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    params = load_params(ROOT / "params.yaml").evaluate.model_copy(update={"sam_frechet_patients": 0})
    plan = Plan(0, 0, arguments.children, arguments.seed, 1.0, 7.0, 5, 3.333, 6.667)
    with tempfile.TemporaryDirectory() as folder:
        cohort = make_cohort(plan, Path(folder), arguments.workers)
        dataset = Dataset.open(cohort.dataset)
        table = score_dataset(dataset, "test", restorers(), cohort.truth, None, params, workers=arguments.workers)
    table["unsupported_share"] *= 100
    print(f"| restorer | {' | '.join([*COLUMNS.values(), *COUNTS.values()])} |")
    print(f"|---|{'--:|' * (len(COLUMNS) + len(COUNTS))}")
    for method, rows in table[table["method"] != "standard"].groupby("method", sort=False):
        children = rows.groupby("patient")
        means = [children[name].mean().mean() for name in COLUMNS]
        plain = ["–" if np.isnan(mean) else f"{mean:.2f}" for mean in means]
        ranges = [_range(children[name].mean()) for name in COUNTS]
        print(f"| {method} | {' | '.join([*plain, *ranges])} |")


def restorers() -> dict[str, Restorer]:
    """Every restorer by its name in the table; the truth has a row of its own."""
    reference = load_restorer(ROOT / "reference")
    return {
        "rapid scan x k": Identity(),
        **{f"Gaussian, {sigma:g} pixels": Gaussian(sigma) for sigma in (0.8, 1.2, 1.8, 2.2, 3.0)},
        "Anscombe + BM3D": AnscombeBm3d(),
        "reference model": reference,
        "... blurred by 2 pixels": _then(reference, lambda counts: ndimage.gaussian_filter(counts, (0, 2, 2))),
        "... with six spots added": _then(reference, with_spots),
        "... x 1.03": _then(reference, lambda counts: 1.03 * counts),
    }


def with_spots(counts: np.ndarray) -> np.ndarray:
    """Hot spots at random places of the brightest tenth of each view."""
    generator, changed = np.random.default_rng(0), counts.copy()
    rows, columns = np.mgrid[: counts.shape[1], : counts.shape[2]]
    for view in changed:
        for place in generator.choice(np.flatnonzero(view > np.quantile(view, 0.9)), SPOTS):
            row, column = divmod(int(place), counts.shape[2])
            distance = (rows - row) ** 2 + (columns - column) ** 2
            view *= 1.0 + SPOT_RISE * np.exp(-distance / (2 * SPOT_PIXELS**2))
    return changed


def _then(restorer: Restorer, change: Callable[[np.ndarray], np.ndarray]) -> Restorer:
    return lambda rapid, ratio: change(restorer(rapid, ratio))


def _range(values: pd.Series) -> str:
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"


if __name__ == "__main__":
    main()
