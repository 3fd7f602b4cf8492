"""Side-by-side pictures: rapid, restored, standard, truth, BM3D, and where the restoration is off.

The grey window is the same for every panel and every child.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scintiflow.dataset.study import VIEWS
from scintiflow.evaluation.cases import Case, Rectangle, bounding_box, case_overlap
from scintiflow.evaluation.consistency import WINDOW_MM, scores_of_views
from scintiflow.evaluation.panels import DEVIATION_LIMIT, UNSUPPORTED_BEYOND, Panel, PanelPlace, draw_panels
from scintiflow.evaluation.real_scan import RealScan

MARK_RADII = 2.2  # rings around known lesions, in the truth panel
WINDOWS = (20, 40, 80, 160, 320, 640, 1280)  # counts per pixel that a real scan's grey window may end at
SHOWN_QUANTILE = 0.99  # of the body's pixels; what is hotter is black
CROP_MARGIN_PIXELS = 10
SMALLEST_EXPECTED = 1.0  # counts; below it a Poisson standard deviation says little

LABELS = {
    "identity": "rapid × k",
    "restored": "restored",
    "standard": "standard scan",
    "truth": "truth",
    "bm3d": "Anscombe + BM3D",
    "gaussian": "Gaussian",
    "held_out": "held-out counts",
}


@dataclass(frozen=True)
class Picture:
    """A finished picture with the words under it; `panels` says where its panels lie."""

    path: Path
    title: str
    caption: str
    panels: tuple[PanelPlace, ...] = ()


def draw_case(case: Case, estimates: dict[str, np.ndarray], ceiling_counts: float, path: Path) -> Picture:
    """Draw one test child: `estimates` holds 'identity', 'restored' and, if wanted, 'gaussian', 'bm3d'."""
    boxes, panels = [], []
    for view in range(case.views):
        here, there = case_overlap(case, view)
        boxes.append((here, there, bounding_box(case.body[view][here], CROP_MARGIN_PIXELS)))
    standard = [case.pair.standard[view][there][box] for view, (_, there, box) in enumerate(boxes)]

    def cropped(volume: np.ndarray) -> list[np.ndarray]:
        return [volume[view][here][box] for view, (here, _, box) in enumerate(boxes)]

    panels.append(Panel(LABELS["identity"], cropped(estimates["identity"]), subtitle="what was measured"))
    panels.append(Panel(LABELS["restored"], cropped(estimates["restored"]), subtitle="this model"))
    panels.append(Panel(LABELS["standard"], standard, subtitle="half the speed"))
    if case.expected is not None:
        marks = [_lesion_marks(case, view, here, box) for view, (here, _, box) in enumerate(boxes)]
        panels.append(Panel(LABELS["truth"], cropped(case.expected), subtitle="expected counts", marks=marks))
        reference, against = cropped(case.expected), "truth"
    else:
        reference, against = [view.astype(np.float64) for view in standard], "standard"
    panels += _best_without_learning(estimates, cropped)
    deviation = [_deviation(a, b) for a, b in zip(cropped(estimates["restored"]), reference, strict=True)]
    panels.append(Panel(f"restored − {against}", deviation, deviation=True, subtitle="in Poisson s.d."))
    panels.append(
        Panel(
            "unsupported by counts", cropped(estimates["restored"]), subtitle="red: too much, blue: lost",
            colour=cropped(_unsupported(case, estimates["restored"])),
        )
    )  # fmt: skip
    places = draw_panels(panels, [VIEWS[view] for view in range(case.views)], ceiling_counts, path)

    age = float(case.row["age_years"])
    title = f"{'Age unknown' if np.isnan(age) else f'{age:.1f} years'}, {case.row['cohort']}"
    return Picture(path, title, _caption(ceiling_counts, against), places)


def draw_real_scan(scan: RealScan, path: Path, title: str) -> Picture:
    """Draw a thinned real scan of one or two views: `scan.estimates` holds 'restored' and 'identity'.

    The grey window is that of `grey_window`, and is stated.
    """
    ceiling_counts = grey_window(scan.standard, scan.body)
    boxes = [bounding_box(body, CROP_MARGIN_PIXELS) for body in scan.body]

    def cropped(volume: np.ndarray) -> list[np.ndarray]:
        return [view[box] for view, box in zip(volume, boxes, strict=True)]

    share = 1.0 - 1.0 / scan.factor
    held_out = [view.astype(np.float64) for view in cropped(scan.held_out)]
    expected = [view.astype(np.float64) * share for view in cropped(scan.estimates["restored"])]
    panels = [
        Panel(LABELS["identity"], cropped(scan.estimates["identity"]), subtitle=f"thinned {scan.factor:g}-fold"),
        Panel(LABELS["restored"], cropped(scan.estimates["restored"]), subtitle="this model"),
        Panel(LABELS["standard"], cropped(scan.standard), subtitle="all counts"),
    ]
    panels += _best_without_learning(scan.estimates, cropped)
    deviation = [_deviation(b, a) for a, b in zip(expected, held_out, strict=True)]
    panels.append(Panel("held out − restored", deviation, deviation=True, subtitle="in Poisson s.d."))
    places = draw_panels(panels, list(scan.views), ceiling_counts, path)
    return Picture(
        path,
        title,
        f"{_window(ceiling_counts)} The difference is (held-out counts − restored × {share:g}) / √(restored × "
        f"{share:g}): a perfect restoration shows pure noise without a trace of anatomy.",
        places,
    )


def grey_window(counts: np.ndarray, body: np.ndarray) -> float:
    """Counts per pixel shown as black: the first of `WINDOWS` above nearly all of the body."""
    hot = float(np.quantile(counts[body], SHOWN_QUANTILE)) if body.any() else 0.0
    return float(next((window for window in WINDOWS if window >= hot), WINDOWS[-1]))


def _best_without_learning(
    estimates: dict[str, np.ndarray], cropped: Callable[[np.ndarray], list[np.ndarray]]
) -> list[Panel]:
    """One panel for the best baseline that there is, or none."""
    found = next((name for name in ("bm3d", "gaussian") if name in estimates), None)
    return [] if found is None else [Panel(LABELS[found], cropped(estimates[found]), subtitle="no learning")]


def _lesion_marks(case: Case, view: int, here: Rectangle, box: Rectangle) -> list[tuple[float, float, float]]:
    assert case.truth is not None
    top, left = ((here[axis].start or 0) + (box[axis].start or 0) for axis in (0, 1))
    return [
        (
            lesion.row_rapid - top,
            lesion.column_rapid - left,
            max(4.0, MARK_RADII * lesion.radius_mm / float(case.row["spacing_mm"])),
        )
        for lesion in case.truth.lesions
        if lesion.view == view
    ]


def _deviation(estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    return (estimate - reference) / np.sqrt(np.maximum(reference, SMALLEST_EXPECTED))


def _unsupported(case: Case, restored: np.ndarray) -> np.ndarray:
    """Scores of the places in the body that the rapid scan's counts do not support, NaN elsewhere."""
    scores = scores_of_views(case.pair.rapid, restored, case.ratio, float(case.row["spacing_mm"]))
    return np.where(case.body & (np.abs(scores) > UNSUPPORTED_BEYOND), scores, np.nan)


def _window(ceiling_counts: float) -> str:
    return f"Grey: square-root window, 0 (white) to {ceiling_counts:g} counts per pixel (black)."


def _caption(ceiling_counts: float, against: str) -> str:
    marks = " Rings in the truth mark the known lesions." if against == "truth" else ""
    return (
        f"{_window(ceiling_counts)} The same for every child. Colour: (restored − {against}) / √{against}, "
        f"±{DEVIATION_LIMIT:g} Poisson standard deviations of a standard scan's pixel; red is too much, blue too "
        f"little. The last panel needs no truth: colour marks places where the rapid scan's counts in a "
        f"{WINDOW_MM:g} mm window lie more than {UNSUPPORTED_BEYOND:g} standard deviations from what the restoration "
        f"claims; red: it shows more than was measured, blue: it lost what was measured. Chance alone colours about "
        f"3 pixels in 1,000 of a true image.{marks}"
    )
