"""How the reference model degrades: the same simulated children under other counts, speeds, cameras and builds.

    python benchmarks/reference.py                       # table and curves of reference/
    python benchmarks/reference.py --model build/cascade --children 4

Every condition changes one thing of otherwise nominal children that no training has seen, simulated anew with
Poisson counts. PSNR is against the truth over the body, its data range L scaled with the counts. The Gaussian is
the best of all sigmas for each condition, which no user could choose. "Other simulator" are the capsule children of
`restoring/stick_child.py`. The real GE scan is thinned two-fold and scored, noise-corrected, against the counts held
out. Writes `table.md` and `curves.png` to the output folder.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from machine import machine
from matplotlib.figure import Figure
from pydicom.data import get_testdata_file
from restoring.stick_child import draw_stick_child
from scipy.ndimage import gaussian_filter, zoom

from scintiflow.dicom.reading import read_scan
from scintiflow.evaluation.baselines import AnscombeBm3d, Gaussian, Identity, Restorer
from scintiflow.evaluation.cases import bounding_box, regions
from scintiflow.evaluation.fidelity import relative_bias
from scintiflow.evaluation.metrics import psnr
from scintiflow.evaluation.real_scan import score_real_scan
from scintiflow.files import whole_file
from scintiflow.params import load_params
from scintiflow.phantom.child import Velocities, simulate_child
from scintiflow.processes import in_processes
from scintiflow.progress import track
from scintiflow.restoration.restorer import load_restorer

ROOT = Path(__file__).parents[1]
SEED = 90210  # of children that nothing was trained on
GE_SCAN = "JPEG-LL.dcm"
GE_DRAWS = 3
SIGMAS = (0.8, 1.0, 1.2, 1.5, 1.8, 2.2, 2.8)
MARGIN = 24
METHODS = {"identity": "rapid x k", "gaussian": "best Gaussian", "bm3d": "Anscombe + BM3D", "reference": "reference"}
NOMINAL_K = 2.0
OTHER = "acceleration, other simulator"


@dataclass(frozen=True)
class Condition:
    """One thing that differs: what, how much, and how it changes the expected picture and the data range."""

    axis: str
    value: float
    change: Callable[[np.ndarray], np.ndarray]
    counts: float = 1.0
    k: float = NOMINAL_K


def conditions() -> list[Condition]:
    def same(image: np.ndarray) -> np.ndarray:
        return image

    def scaled(rows: float, columns: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda image: np.maximum(zoom(image, (1, rows, columns), order=1), 0)

    return [
        *(Condition("counts", f, same, counts=f) for f in (0.25, 0.5, 1.0, 2.0, 4.0)),
        *(Condition("acceleration", k, same, k=k) for k in (1.5, 2.0, 3.0, 4.0)),
        *(Condition("extra blur, sigma in pixels", s, blurred(s)) for s in (0.0, 0.75, 1.5, 2.5)),
        *(Condition("pixel size, mm", 2.26 / f, scaled(f, f)) for f in (0.7, 0.85, 1.0, 1.2, 1.4)),
        *(Condition("width of the child", f, scaled(1.0, f)) for f in (0.8, 1.0, 1.25)),
        *(Condition(OTHER, k, same, k=k) for k in (2.0, 3.0)),
    ]


def blurred(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: gaussian_filter(image, (0, sigma, sigma)) if sigma else image


def main() -> None:
    arguments = parsed()
    children = range(arguments.children)
    score = partial(score_child, model=arguments.model)
    scored = in_processes(score, children, arguments.workers, "children", preload="scintiflow.restoration.restorer")
    table = pd.DataFrame([line for lines in track(scored, "children", len(children)) for line in lines])
    real = pd.concat(list(score_ge(arguments.model)))
    arguments.out.mkdir(parents=True, exist_ok=True)
    draw(table, arguments.out / "curves.png")
    text = page(table, real, arguments.children)
    with whole_file(arguments.out / "table.md") as target:
        target.write_text(text, encoding="utf-8")
    print(text)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--children", type=int, default=8)
    parser.add_argument("--model", type=Path, default=ROOT / "reference", help="folder of a trained f^IR1")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "benchmarks" / "reference")
    return parser.parse_args()


def score_child(index: int, model: Path) -> list[dict]:
    """Every condition and method for one child, a line each."""
    import torch

    torch.set_num_threads(1)
    params = load_params(ROOT / "params.yaml")
    protocol = params.ingest.protocol
    child = simulate_child(
        SEED, index, Velocities(protocol.standard_velocity_mm_s, protocol.rapid_velocity_mm_s), 0.5, 16.0, 5
    )
    nominal = (child.truth.mean_standard.astype(np.float64), *regions(child.truth.masks_standard, 2.26))
    stick = draw_stick_child(np.random.default_rng(np.random.SeedSequence([SEED, index])))
    restore = load_restorer(model)
    lines = []
    for number, condition in enumerate(conditions()):
        generator = np.random.default_rng(np.random.SeedSequence([SEED, index, number]))
        mean, inside, skeleton = changed_child(stick if condition.axis == OTHER else nominal, condition)
        rapid = generator.poisson(mean / condition.k).astype(np.uint16)
        data_range = params.evaluate.data_range_counts * condition.counts
        for name, estimate in estimates(rapid, condition.k, restore, mean, inside):
            lines.append(
                {
                    "axis": condition.axis,
                    "value": condition.value,
                    "child": index,
                    "method": name,
                    "psnr": float(np.mean([psnr(e, m, data_range, b) for e, m, b in
                                           zip(estimate, mean, inside, strict=True)])),
                    "count_bias": relative_bias(estimate, mean, inside),
                    "bone_bias": relative_bias(estimate, mean, skeleton),
                }
            )  # fmt: skip
    return lines


def changed_child(
    child: tuple[np.ndarray, np.ndarray, np.ndarray], condition: Condition
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expected counts, body and bone under the condition, cut to the body, `[view, row, column]`."""
    mean, body, bone = child
    box = (slice(None), *bounding_box(body.any(axis=0), MARGIN))
    inside, skeleton = (condition.change(mask[box].astype(np.float64)) > 0.5 for mask in (body, bone))
    return condition.change(mean[box]) * condition.counts, inside, skeleton


def estimates(
    rapid: np.ndarray, k: float, restore: Restorer, mean: np.ndarray, inside: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    yield "identity", Identity()(rapid, k)
    blurs = [Gaussian(sigma)(rapid, k) for sigma in SIGMAS]
    yield "gaussian", min(blurs, key=lambda estimate: float(((estimate - mean)[inside] ** 2).mean()))
    yield "bm3d", AnscombeBm3d()(rapid, k)
    yield "reference", restore(rapid, k)


def score_ge(model: Path) -> Iterator[pd.DataFrame]:
    scan = read_scan(Path(get_testdata_file(GE_SCAN, download=False)))
    methods: dict[str, Restorer] = {"identity": Identity(), "bm3d": AnscombeBm3d(), "reference": load_restorer(model)}
    methods |= {f"gaussian {sigma}": Gaussian(sigma) for sigma in (1.0, 1.2, 1.5)}
    data_range = load_params(ROOT / "params.yaml").evaluate.data_range_counts
    for seed in range(1, GE_DRAWS + 1):
        yield score_real_scan(scan.counts, methods, NOMINAL_K, seed, data_range).table


def page(table: pd.DataFrame, real: pd.DataFrame, children: int) -> str:
    lines = ["| condition | rapid x k | best Gaussian | BM3D | reference | over BM3D | count bias | bone bias |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for (axis, value), rows in table.groupby(["axis", "value"], sort=False):
        means = rows.groupby("method")[["psnr", "count_bias", "bone_bias"]].mean()
        score = means["psnr"]
        own = means.loc["reference"]
        lines.append(
            f"| {axis} {value:.2f} | {score['identity']:.2f} | {score['gaussian']:.2f} | {score['bm3d']:.2f} "
            f"| {score['reference']:.2f} | {score['reference'] - score['bm3d']:+.2f} "
            f"| {own['count_bias']:+.2%} | {own['bone_bias']:+.2%} |"
        )
    ge = real.groupby("method")["psnr_corrected"].mean()
    found = ", ".join(f"{name} {ge[name]:.2f}" for name in ge.sort_values(ascending=False).index)
    return (
        f"PSNR in dB against the truth over the body, {children} simulated children, both views.\n\n"
        + "\n".join(lines)
        + f"\n\nReal GE scan, thinned two-fold {GE_DRAWS} times, noise-corrected PSNR in dB: {found}.\n"
        + f"\nMachine: {machine('torch')}\nCommand: `python benchmarks/reference.py {shlex.join(sys.argv[1:])}`\n"
    )


def draw(table: pd.DataFrame, path: Path) -> None:
    axes = list(dict.fromkeys(table["axis"]))
    figure = Figure(figsize=(3.1 * len(axes), 3.4), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(axes), sharey=True)
    for panel, axis in zip(panels, axes, strict=True):
        chosen = table[table["axis"] == axis]
        for method, label in METHODS.items():
            curve = chosen[chosen["method"] == method].groupby("value")["psnr"].mean()
            panel.plot(curve.index, curve.to_numpy(), marker="o", markersize=3, label=label)
        panel.set_xlabel(axis)
        if axis == "counts":
            panel.set_xscale("log", base=2)
            panel.set_xlabel("counts, of a typical scan's")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("PSNR against truth, dB")
    panels[0].legend(fontsize=7)
    with whole_file(path) as partial:
        figure.savefig(partial, format="png")


if __name__ == "__main__":
    main()
