"""A simulated child taken apart: what each structure sends to each view, to be put together in other ways.

A picture is the sum of its structures, scatter included, so other weights make other children: brighter bones,
full bladders, no injection site. Lesions are left out. This feeds the wide simulator of `dataset.scenes`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scintiflow.files import whole_file
from scintiflow.phantom.anatomy import draw_anatomy
from scintiflow.phantom.camera import expose, with_scatter
from scintiflow.phantom.child import (
    LARGEST_PIXEL,
    child_generators,
    draw_poses,
    draw_texture,
    typical_counts_per_view,
)
from scintiflow.phantom.pose import lie_down
from scintiflow.processes import in_processes
from scintiflow.progress import track
from scintiflow.structures import BODY

MARGIN_ROWS = 40  # kept above and below the body


@dataclass(frozen=True)
class Components:
    """One child: float16 `[structure, view, row, column]`, expected counts of a typical standard scan.

    `body` is bool `[view, row, column]`. Rows far above and below the child are cut off.
    """

    layers: np.ndarray
    body: np.ndarray


def simulate_components(seed: int, index: int, youngest_years: float, oldest_years: float) -> Components:
    """Child `index`, from (seed, index) and the age range alone."""
    draw = child_generators(seed, index, ("anatomy", "pose", "texture"))
    age = float(draw["anatomy"].uniform(youngest_years, oldest_years))
    anatomy = draw_anatomy(age, draw["anatomy"])
    pose, _ = draw_poses(anatomy, draw["pose"])
    exposure = expose(*lie_down(anatomy, pose), draw_texture(draw["texture"]))
    layers = np.stack([with_scatter(layer) for layer in exposure.layers])
    layers *= typical_counts_per_view(age) / layers.sum(axis=(0, 2, 3), dtype=np.float64).mean()
    body = exposure.thickness[BODY] > 0
    rows = np.flatnonzero(body.any(axis=(0, 2)))
    kept = slice(max(int(rows[0]) - MARGIN_ROWS, 0), int(rows[-1]) + MARGIN_ROWS + 1)
    clipped = np.minimum(layers[:, :, kept], LARGEST_PIXEL)
    return Components(clipped.astype(np.float16), body[:, kept])


def make_components(
    folder: Path, seed: int, children: int, youngest_years: float, oldest_years: float, workers: int
) -> list[Path]:
    """Simulate the children that `folder` lacks, `workers` at a time; one npz each, in order."""
    paths = [folder / f"child{index:05d}.npz" for index in range(children)]
    missing = [index for index, path in enumerate(paths) if not path.is_file()]
    jobs = [(paths[index], seed, index, youngest_years, oldest_years) for index in missing]
    made = in_processes(_make, jobs, workers, str(folder), preload=__name__)
    for _ in track(made, "simulate children", len(jobs)):
        pass
    return paths


def load_components(path: Path) -> Components:
    with np.load(path, allow_pickle=False) as packed:
        return Components(packed["layers"], packed["body"])


def _make(job: tuple[Path, int, int, float, float]) -> None:
    path, seed, index, youngest_years, oldest_years = job
    child = simulate_components(seed, index, youngest_years, oldest_years)
    with whole_file(path) as partial, partial.open("wb") as target:
        np.savez(target, layers=child.layers, body=child.body)
