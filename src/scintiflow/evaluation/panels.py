"""Columns of views beside one another as one PNG, with their scales, and where in it each view lies.

Counts are shown in one fixed grey window (white is zero, black the declared range, square root in between), never
scaled to an image's own maximum. One detector pixel is a whole number of picture pixels, so that noise looks like
noise.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import FuncNorm, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

from scintiflow.evaluation.laterality import sides_of_view
from scintiflow.files import whole_file

DOTS_PER_INCH = 100
TALLEST_VIEW_PIXELS = 760
GAP, TITLE, HEADLINE, SIDE, BAR = 10, 40, 22, 26, 92  # picture pixels
MARK_COLOUR = "#d97706"
WARNING_COLOUR = "#b2182b"  # of the diverging scale
GREYS = 95
DEVIATION_LIMIT = 3.0  # Poisson standard deviations at the ends of the colour scale
UNSUPPORTED_BEYOND = 3.0  # Poisson s.d. from which on a place is coloured that the counts do not support
UNSUPPORTED_DARKEST = 5.0
DIVERGING = "RdBu_r"

Place = tuple[int, int, int, int]  # left, top, width, height in picture pixels


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
class PanelPlace:
    """Where a panel's views lie in the PNG, so that a page can lay one panel over another."""

    title: str
    views: tuple[Place, ...]


def draw_panels(
    panels: list[Panel], view_names: list[str], ceiling_counts: float, path: Path, warning: str = ""
) -> tuple[PanelPlace, ...]:
    """Write a PNG: panels from left to right, views from top to bottom, with the scales at the right.

    Anterior and posterior views bear the patient's side at their edges. A `warning` stands in red above everything.
    """
    head = TITLE + (HEADLINE if warning else 0)
    heights = [max(panel.views[view].shape[0] for panel in panels) for view in range(len(view_names))]
    widths = [max(view.shape[1] for view in panel.views) for panel in panels]
    scale = max(1, round(TALLEST_VIEW_PIXELS / max(heights) - 0.35))
    width = SIDE + sum(scale * w + GAP for w in widths) + BAR
    height = head + sum(scale * h + GAP for h in heights)
    figure = Figure(figsize=(width / DOTS_PER_INCH, height / DOTS_PER_INCH), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    counts_norm = FuncNorm((_root, np.square), vmin=0.0, vmax=ceiling_counts, clip=True)
    deviation_norm = Normalize(-DEVIATION_LIMIT, DEVIATION_LIMIT, clip=True)
    unsupported_norm = Normalize(-UNSUPPORTED_DARKEST, UNSUPPORTED_DARKEST, clip=True)  # vivid, not dark, on grey

    places = []

    def axes(left: float, top: float, wide: float, tall: float):
        return figure.add_axes((left / width, 1 - (top + tall) / height, wide / width, tall / height))

    with matplotlib.rc_context({"font.size": 8, "font.family": "DejaVu Sans"}):
        if warning:
            figure.text(SIDE / width, 1 - 12 / height, warning, va="center", weight="bold", color=WARNING_COLOUR)
        left = float(SIDE)
        for panel, panel_width in zip(panels, widths, strict=True):
            middle = (left + scale * panel_width / 2) / width
            figure.text(
                middle, 1 - (head - 29) / height, panel.title, ha="center", va="center", weight="bold", fontsize=8.5
            )
            figure.text(
                middle, 1 - (head - 14) / height, panel.subtitle, ha="center", va="center", color="0.45", fontsize=7
            )
            top, own = float(head), []
            for number, (view, tall) in enumerate(zip(panel.views, heights, strict=True)):
                inset = scale * (panel_width - view.shape[1]) / 2
                place = axes(left + inset, top, scale * view.shape[1], scale * view.shape[0])
                own.append((round(left + inset), round(top), scale * view.shape[1], scale * view.shape[0]))
                colours = (DIVERGING, deviation_norm) if panel.deviation else ("gray_r", counts_norm)
                place.imshow(view, cmap=colours[0], norm=colours[1], interpolation="nearest", aspect="auto")
                if panel.colour:
                    over = np.ma.masked_invalid(panel.colour[number])
                    place.imshow(over, cmap=DIVERGING, norm=unsupported_norm, interpolation="nearest", aspect="auto")
                place.set_axis_off()
                for edge, letter in enumerate(sides_of_view(view_names[number])):
                    place.text(
                        0.02 + 0.96 * edge, 0.01, letter, transform=place.transAxes, ha=("left", "right")[edge],
                        color="0.35", fontsize=7,
                    )  # fmt: skip
                for row, column, radius in panel.marks[number] if panel.marks else ():
                    place.add_patch(Circle((column, row), radius, fill=False, color=MARK_COLOUR, linewidth=0.9))
                top += scale * tall + GAP
            places.append(PanelPlace(panel.title, tuple(own)))
            left += scale * panel_width + GAP
        top = float(head)
        for name, tall in zip(view_names, heights, strict=True):
            middle_height = 1 - (top + scale * tall / 2) / height
            figure.text(11 / width, middle_height, name, rotation=90, ha="center", va="center", color="0.35")
            top += scale * tall + GAP
        bar_height = min(240.0, (height - head - 60) / 2)
        grey = figure.colorbar(
            ScalarMappable(counts_norm, "gray_r"), cax=axes(left + 18, head + 8, 13, bar_height), format="%g"
        )
        grey.set_ticks([ceiling_counts * share for share in (0, 1 / 16, 1 / 4, 9 / 16, 1)])
        grey.set_label("counts per pixel")
        below = axes(left + 18, head + bar_height + 48, 13, bar_height)
        if any(panel.deviation for panel in panels):
            colour = figure.colorbar(ScalarMappable(deviation_norm, DIVERGING), cax=below)
            colour.set_ticks([-DEVIATION_LIMIT, -DEVIATION_LIMIT / 2, 0, DEVIATION_LIMIT / 2, DEVIATION_LIMIT])
            colour.set_label("Poisson s.d.")
        elif any(panel.colour for panel in panels):
            colour = figure.colorbar(ScalarMappable(unsupported_norm, _outer_colours()), cax=below)
            colour.set_ticks([-UNSUPPORTED_DARKEST, -UNSUPPORTED_BEYOND, UNSUPPORTED_BEYOND, UNSUPPORTED_DARKEST])
            colour.set_label("s.d. of the counts in a window")
        else:
            below.set_axis_off()
    _write_png(figure, path)
    return tuple(places)


def _outer_colours() -> ListedColormap:
    """The diverging scale, white where nothing is coloured."""
    scores = np.linspace(-1, 1, 200)
    colours = matplotlib.colormaps[DIVERGING]((scores + 1) / 2)
    colours[np.abs(scores) < UNSUPPORTED_BEYOND / UNSUPPORTED_DARKEST] = 1.0
    return ListedColormap(colours)


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
