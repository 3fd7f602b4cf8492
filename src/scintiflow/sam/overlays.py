"""One picture for people: held-out scans with SAM's masks before and after adaptation and the targets."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scintiflow.files import whole_file
from scintiflow.sam.anatomy import body_box
from scintiflow.structures import STRUCTURES

COLOURS = ("#00b3c8", "#e69f00", "#009e73", "#d62728", "#cc33cc")  # in the order of STRUCTURES
MARGIN = 6  # pixels
PANEL_INCHES, TALLEST_INCHES = 3.1, 5.6


@dataclass(frozen=True)
class Overlay:
    """One patient: counts `[view, row, column]`, masks bool `[structure, view, row, column]`; truth or None."""

    counts: np.ndarray
    before: np.ndarray
    after: np.ndarray
    pseudo: np.ndarray
    truth: np.ndarray | None


def draw_overlays(
    path: Path, overlays: list[Overlay], ceiling_counts: float, structures: tuple[str, ...] = STRUCTURES
) -> None:
    """Write a PNG: a row for each patient; before | after | target | truth, each anterior beside posterior."""
    titles = ["before", "after", "pseudo-masks"]
    with_truth = any(overlay.truth is not None for overlay in overlays)
    titles += ["exact masks"] if with_truth else []
    height = sum(_row_inches(overlay) for overlay in overlays)  # the top holds titles, the bottom the legend
    figure = Figure(figsize=(PANEL_INCHES * len(titles), height), dpi=80)
    FigureCanvasAgg(figure)
    space = {"left": 0.01, "right": 0.99, "bottom": 0.3 / height, "top": 1 - 0.25 / height}
    space |= {"wspace": 0.03, "hspace": 0.05}
    grid = figure.subplots(len(overlays), len(titles), squeeze=False, gridspec_kw=space)
    for axes, overlay in zip(grid, overlays, strict=True):
        panels = [overlay.before, overlay.after, overlay.pseudo, overlay.truth]
        for axis, title, masks in zip(axes, titles, panels, strict=False):
            _panel(axis, overlay, masks, ceiling_counts)
            axis.set_title(title, fontsize=9)
    handles = [Line2D([], [], color=c, label=s.replace("_", " ")) for c, s in zip(COLOURS, structures, strict=True)]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), fontsize=8, frameon=False)
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", metadata={"Software": None})


def _row_inches(overlay: Overlay) -> float:
    views, rows, columns = overlay.counts.shape
    return min(TALLEST_INCHES, PANEL_INCHES * rows / (views * columns) + 0.5)


def _panel(axis: Axes, overlay: Overlay, masks: np.ndarray | None, ceiling_counts: float) -> None:
    axis.set_axis_off()
    if masks is None:
        return
    rows, columns = overlay.counts.shape[1:]
    box = body_box(overlay.pseudo[0].any(axis=0))
    top, bottom = max(0, box.top - MARGIN), min(rows, box.bottom + MARGIN)
    left, right = max(0, box.left - MARGIN), min(columns, box.right + MARGIN)

    def beside(array: np.ndarray) -> np.ndarray:
        return np.concatenate([array[view, top:bottom, left:right] for view in range(len(overlay.counts))], axis=1)

    shown = np.sqrt(np.clip(beside(overlay.counts) / ceiling_counts, 0, 1))
    black_is = "gray_r" if len(overlay.counts) > 1 else "gray"  # many counts are dark, light in a picture is light
    axis.imshow(shown, cmap=black_is, vmin=0, vmax=1, interpolation="nearest")
    for structure, colour in enumerate(COLOURS):
        outline = beside(masks[structure])
        if outline.any():
            axis.contour(outline, levels=[0.5], colors=[colour], linewidths=0.8)
