"""Side-by-side pictures of a restored pair: as it came, restored, the good one, without learning, the difference."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from scintiflow.evaluation.cases import Case, case_overlap
from scintiflow.evaluation.pictures import Picture
from scintiflow.files import whole_file
from scintiflow.modality import LEVELS

LIMIT = 64  # levels at the ends of the colour scale
INCHES_WIDE = 2.6  # of a panel


def draw_picture(case: Case, estimates: dict[str, np.ndarray], ceiling: float, path: Path) -> Picture:
    """Draw one held-out pair; `estimates` holds 'identity', 'restored' and, if wanted, 'gaussian'.

    `ceiling` is the level shown as white, the same in every panel.
    """
    here, there = case_overlap(case, 0)
    good = case.pair.standard[:, *there]
    panels = {
        "as it came": estimates["identity"][:, *here],
        "restored": estimates["restored"][:, *here],
        "the good picture": good,
    }
    if "gaussian" in estimates:
        panels["Gaussian"] = estimates["gaussian"][:, *here]
    rows, columns = good.shape[1:]
    figure = Figure(
        figsize=((len(panels) + 1) * INCHES_WIDE + 0.9, INCHES_WIDE * rows / columns + 0.5),
        dpi=110,
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    *axes, last = figure.subplots(1, len(panels) + 1)
    for axis, (title, levels) in zip(axes, panels.items(), strict=True):
        shown = np.clip(levels / ceiling, 0, 1)
        axis.imshow(shown[0] if len(shown) == 1 else np.moveaxis(shown, 0, 2), cmap="gray", vmin=0, vmax=1)
        axis.set_title(title, fontsize=9)
    scale = Normalize(-LIMIT, LIMIT, clip=True)
    last.imshow((panels["restored"] - good.astype(np.float64)).mean(axis=0), cmap="RdBu_r", norm=scale)
    last.set_title("restored − good", fontsize=9)
    for axis in (*axes, last):
        axis.set_axis_off()
    figure.colorbar(ScalarMappable(scale, "RdBu_r"), ax=last, label="levels", shrink=0.9)
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", metadata={"Software": None})
    caption = (
        f"From black, level 0, to white, {ceiling:g} (at most {LEVELS:g}), the same in every panel. The difference "
        f"is the mean over the colours, ±{LIMIT} levels: red is too bright, blue too dark."
    )
    return Picture(path, f"{case.row['study']}, {case.row['cohort']}", caption)
