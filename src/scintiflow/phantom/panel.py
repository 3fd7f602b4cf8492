"""Six simulated children side by side, to be judged by eye: anterior above, posterior below, counts as grey."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from scintiflow.files import whole_file
from scintiflow.phantom.child import Child, Velocities, simulate_child
from scintiflow.structures import BODY

AGES = (0.6, 2.0, 5.0, 9.0, 13.0, 16.0)
VELOCITIES = Velocities(standard=3.333, rapid=6.667)
BLACK_PERCENTILE = 98.0  # of the counts inside the body: hotter pixels are black, as on a reading monitor


def draw_panel(path: Path, seed: int, lesions_at_most: int = 0) -> None:
    """Draw the standard scans of six children of fixed ages (`AGES`, years) into the PNG file `path`."""
    children = [
        simulate_child(seed, index, VELOCITIES, AGES[0], AGES[-1], lesions_at_most, age=age)
        for index, age in enumerate(AGES)
    ]
    rows = _shown_rows(children)
    figure = Figure(figsize=(10.5, 14), dpi=150)
    axes = figure.subplots(2, len(children))
    for column, child in enumerate(children):
        for view in range(2):
            counts = child.counts_standard[view]
            inside = child.truth.masks_standard[BODY, view]
            plot = axes[view, column]
            black = np.percentile(counts[inside], BLACK_PERCENTILE)
            plot.imshow(counts[rows], cmap="gray_r", vmin=0, vmax=black, interpolation="bilinear")
            plot.set_title(f"{child.age:.1f} y  {counts.sum() / 1000:.0f}k  max {counts.max()}", fontsize=7)
            plot.axis("off")
    figure.subplots_adjust(left=0, right=1, bottom=0, top=0.97, wspace=0, hspace=0.04)
    with whole_file(path) as partial:
        figure.savefig(partial, format="png")


def _shown_rows(children: list[Child]) -> slice:
    """The rows that hold all children, with a margin."""
    used = np.any([child.truth.masks_standard[BODY].any(axis=(0, 2)) for child in children], axis=0)
    found = np.flatnonzero(used)
    return slice(max(int(found[0]) - 30, 0), int(found[-1]) + 31)
