"""Side-by-side pictures: rapid, restored, standard, truth, BM3D, and where the restoration is off.

Counts are shown in one fixed grey window for every panel and every child (white is zero, black is the
declared data range, square root in between), never scaled to an image's own maximum. One detector pixel
is a whole number of picture pixels, so that noise looks like noise.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import FuncNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

from scintiflow.dataset.study import VIEWS
from scintiflow.evaluation.cases import Case, Rectangle, bounding_box, case_overlap
from scintiflow.evaluation.consistency import WINDOW_MM, local_scores
from scintiflow.evaluation.real_scan import RealScan
from scintiflow.files import whole_file

DOTS_PER_INCH = 100
TALLEST_VIEW_PIXELS = 760
GAP, TITLE, SIDE, BAR = 10, 40, 26, 92  # picture pixels
MARK_COLOUR, MARK_RADII = "#d97706", 2.2  # rings around known lesions, in the truth panel
GREYS = 95
WINDOWS = (20, 40, 80, 160, 320, 640, 1280)  # counts per pixel that a real scan's grey window may end at
CROP_MARGIN_PIXELS = 10
DEVIATION_LIMIT = 3.0  # Poisson standard deviations at the ends of the colour scale
UNSUPPORTED_DARKEST = 5.0
UNSUPPORTED_BEYOND = 3.0  # ... from which on a place is coloured that the counts do not support
DIVERGING = "RdBu_r"
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
class Panel:
    """One column of a picture: views `[view][row, column]`; `deviation` panels are in standard deviations.

    `colour`, where given, lies over the greys of each view: standard deviations, transparent where not finite.
    """

    title: str
    views: Sequence[np.ndarray]
    deviation: bool = False
    subtitle: str = ""
    marks: Sequence[Sequence[tuple[float, float, float]]] = ()  # for each view (row, column, radius in pixels)
    colour: Sequence[np.ndarray] = ()


@dataclass(frozen=True)
class Picture:
    """A finished picture with the words under it."""

    path: Path
    title: str
    caption: str


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
    for baseline in ("bm3d", "gaussian"):
        if baseline in estimates:
            panels.append(Panel(LABELS[baseline], cropped(estimates[baseline]), subtitle="no learning"))
            break
    deviation = [_deviation(a, b) for a, b in zip(cropped(estimates["restored"]), reference, strict=True)]
    panels.append(Panel(f"restored − {against}", deviation, deviation=True, subtitle="in Poisson s.d."))
    panels.append(
        Panel(
            "unsupported by counts", cropped(estimates["restored"]), subtitle="red: too much, blue: lost",
            colour=cropped(_unsupported(case, estimates["restored"])),
        )
    )  # fmt: skip
    draw_panels(panels, [VIEWS[view] for view in range(case.views)], ceiling_counts, path)

    age = float(case.row["age_years"])
    title = f"{'Age unknown' if np.isnan(age) else f'{age:.1f} years'}, {case.row['cohort']}"
    return Picture(path, title, _caption(ceiling_counts, against))


def draw_real_scan(scan: RealScan, path: Path, title: str) -> Picture:
    """Draw a thinned real scan of one or two views: `scan.estimates` holds 'restored' and 'identity'.

    The grey window ends at one of `WINDOWS`, the first above all but 1% of the body's pixels, and is stated.
    """
    bright = float(np.quantile(scan.standard[scan.body], 0.99)) if scan.body.any() else 0.0
    ceiling_counts = float(next((window for window in WINDOWS if window >= bright), WINDOWS[-1]))
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
    for baseline in ("bm3d", "gaussian"):
        if baseline in scan.estimates:
            panels.append(Panel(LABELS[baseline], cropped(scan.estimates[baseline]), subtitle="no learning"))
            break
    deviation = [_deviation(b, a) for a, b in zip(expected, held_out, strict=True)]
    panels.append(Panel("held out − restored", deviation, deviation=True, subtitle="in Poisson s.d."))
    names = [f"view {number + 1}" for number in range(len(boxes))] if len(boxes) != 2 else list(VIEWS)
    draw_panels(panels, names, ceiling_counts, path)
    return Picture(
        path,
        title,
        f"{_window(ceiling_counts)} The difference is (held-out counts − restored × {share:g}) / √(restored × "
        f"{share:g}): a perfect restoration shows pure noise without a trace of anatomy.",
    )


def draw_panels(panels: list[Panel], view_names: list[str], ceiling_counts: float, path: Path) -> None:
    """Write a PNG: panels from left to right, views from top to bottom, with both scales at the right."""
    heights = [max(panel.views[view].shape[0] for panel in panels) for view in range(len(view_names))]
    widths = [max(view.shape[1] for view in panel.views) for panel in panels]
    scale = max(1, round(TALLEST_VIEW_PIXELS / max(heights) - 0.35))
    width = SIDE + sum(scale * w + GAP for w in widths) + BAR
    height = TITLE + sum(scale * h + GAP for h in heights)
    figure = Figure(figsize=(width / DOTS_PER_INCH, height / DOTS_PER_INCH), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    counts_norm = FuncNorm((_root, np.square), vmin=0.0, vmax=ceiling_counts, clip=True)
    deviation_norm = Normalize(-DEVIATION_LIMIT, DEVIATION_LIMIT, clip=True)
    unsupported_norm = Normalize(-UNSUPPORTED_DARKEST, UNSUPPORTED_DARKEST, clip=True)  # vivid, not dark, on grey

    def axes(left: float, top: float, wide: float, tall: float):
        return figure.add_axes((left / width, 1 - (top + tall) / height, wide / width, tall / height))

    with matplotlib.rc_context({"font.size": 8, "font.family": "DejaVu Sans"}):
        left = float(SIDE)
        for panel, panel_width in zip(panels, widths, strict=True):
            middle = (left + scale * panel_width / 2) / width
            figure.text(middle, 1 - 11 / height, panel.title, ha="center", va="center", weight="bold", fontsize=8.5)
            figure.text(middle, 1 - 26 / height, panel.subtitle, ha="center", va="center", color="0.45", fontsize=7)
            top = float(TITLE)
            for number, (view, tall) in enumerate(zip(panel.views, heights, strict=True)):
                inset = scale * (panel_width - view.shape[1]) / 2
                place = axes(left + inset, top, scale * view.shape[1], scale * view.shape[0])
                colours = (DIVERGING, deviation_norm) if panel.deviation else ("gray_r", counts_norm)
                place.imshow(view, cmap=colours[0], norm=colours[1], interpolation="nearest", aspect="auto")
                if panel.colour:
                    over = np.ma.masked_invalid(panel.colour[number])
                    place.imshow(over, cmap=DIVERGING, norm=unsupported_norm, interpolation="nearest", aspect="auto")
                place.set_axis_off()
                for row, column, radius in panel.marks[number] if panel.marks else ():
                    place.add_patch(Circle((column, row), radius, fill=False, color=MARK_COLOUR, linewidth=0.9))
                top += scale * tall + GAP
            left += scale * panel_width + GAP
        top = float(TITLE)
        for name, tall in zip(view_names, heights, strict=True):
            middle_height = 1 - (top + scale * tall / 2) / height
            figure.text(11 / width, middle_height, name, rotation=90, ha="center", va="center", color="0.35")
            top += scale * tall + GAP
        bar_height = min(240.0, (height - TITLE - 60) / 2)
        grey = figure.colorbar(
            ScalarMappable(counts_norm, "gray_r"), cax=axes(left + 18, TITLE + 8, 13, bar_height), format="%g"
        )
        grey.set_ticks([ceiling_counts * share for share in (0, 1 / 16, 1 / 4, 9 / 16, 1)])
        grey.set_label("counts per pixel")
        colour = figure.colorbar(
            ScalarMappable(deviation_norm, DIVERGING),
            cax=axes(left + 18, TITLE + bar_height + 48, 13, bar_height),
        )
        colour.set_ticks([-DEVIATION_LIMIT, -DEVIATION_LIMIT / 2, 0, DEVIATION_LIMIT / 2, DEVIATION_LIMIT])
        colour.set_label("Poisson s.d.")
    _write_png(figure, path)


def _write_png(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    buffer.seek(0)
    with Image.open(buffer) as picture:
        small = _with_palette(picture.convert("RGB"))
    with whole_file(path) as partial:
        small.save(partial, format="PNG", optimize=True)


def _with_palette(picture: Image.Image) -> Image.Image:
    """Greys, the diverging scale and the mark colour: a third of the bytes of true colour, no visible loss."""
    scale = (matplotlib.colormaps[DIVERGING](np.linspace(0, 1, 160))[:, :3] * 255).round().astype(np.uint8)
    greys = np.repeat(np.linspace(0, 255, GREYS).round().astype(np.uint8)[:, None], 3, axis=1)
    mark = np.array([[int(MARK_COLOUR[place : place + 2], 16) for place in (1, 3, 5)]], dtype=np.uint8)
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([greys, scale, mark]).tobytes())
    small = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    # the library's nearest colour is approximate and would tint white
    colours, places = np.asarray(picture), np.array(small)
    grey = (colours[..., 0] == colours[..., 1]) & (colours[..., 1] == colours[..., 2])
    places[grey] = np.round(colours[..., 0][grey] * ((GREYS - 1) / 255.0)).astype(np.uint8)
    exact = Image.fromarray(places, mode="P")
    exact.putpalette(palette.getpalette() or [])
    return exact


def _root(counts: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(counts, 0.0))


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
    spacing = float(case.row["spacing_mm"])
    scores = np.stack(
        [local_scores(case.pair.rapid[view], restored[view], case.ratio, spacing) for view in range(case.views)]
    )
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
        f"claims; red: it shows more than was measured, blue: it lost what was measured.{marks}"
    )
