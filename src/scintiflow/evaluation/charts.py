"""Small charts as inline SVG: crisp at any size, a few kilobytes, readable without scripts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, ROW, LEFT, RIGHT, AXIS = 860, 54, 230, 24, 34
PLOT_WIDTH, PLOT_HEIGHT, PLOT_LEFT, PLOT_RIGHT, PLOT_BOTTOM, PLOT_TOP = 900, 330, 64, 250, 46, 12
COLOURS = ("#1f5f99", "#9aa5b1", "#b26a00", "#7a4fa3", "#1b7f4b", "#b3362b", "#3d8f9e", "#8a6d3b")
REFERENCE_COLOUR = "#1c2430"


@dataclass(frozen=True)
class DotRow:
    """One row of a dot chart: a label, one value for each patient, their mean and its interval."""

    label: str
    values: Sequence[float]
    mean: float | None
    low: float | None
    high: float | None


def dot_chart(rows: Sequence[DotRow], unit: str, description: str, graded: bool = True) -> Markup:
    """Patients as dots on a common axis with a zero line, the mean as a bar with its interval.

    `graded`: below zero is a loss, and coloured so.
    """
    shown = [value for row in rows for value in row.values if math.isfinite(value)]
    if not shown:
        return Markup("")
    ticks = nice_ticks(min(0.0, *shown), max(0.0, *shown))
    low, high = ticks[0], ticks[-1]
    height = ROW * len(rows) + AXIS

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(description)}">',
    ]
    for tick in ticks:
        kind = "zero" if tick == 0 else "grid"
        parts.append(f'<line class="{kind}" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="4" y2="{height - AXIS}"/>')
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{height - AXIS + 16}">{_signed(tick)}</text>')
    parts.append(f'<text class="tick" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{height - 3}">{escape(unit)}</text>')
    for number, row in enumerate(rows):
        middle = ROW * (number + 0.5)
        parts.append(f'<text class="name" x="{LEFT - 14}" y="{middle + 4}">{escape(row.label)}</text>')
        for place, value in enumerate(sorted(value for value in row.values if math.isfinite(value))):
            # neighbours step up and down so that equal values stay countable
            offset = ((place % 3) - 1) * 7
            kind = "gain" if value > 0 or not graded else "loss"
            parts.append(f'<circle class="{kind}" cx="{x(value):.1f}" cy="{middle + offset:.1f}" r="4.2"/>')
        if row.low is not None and row.high is not None:
            parts.append(
                f'<line class="interval" x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" y1="{middle}" y2="{middle}"/>'
            )
        if row.mean is not None:
            parts.append(
                f'<line class="mean" x1="{x(row.mean):.1f}" x2="{x(row.mean):.1f}" '
                f'y1="{middle - 14}" y2="{middle + 14}"/>'
            )
    return Markup("".join([*parts, "</svg>"]))


@dataclass(frozen=True)
class Line:
    """One curve of a line chart; a reference is black and dashed."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    reference: bool = False
    strong: bool = False


def line_chart(lines: Sequence[Line], x_label: str, y_label: str, description: str, decades: bool = False) -> Markup:
    """Curves on common axes, each named at the right; with `decades` the vertical axis is logarithmic."""
    points = [
        (x, y)
        for line in lines
        for x, y in zip(line.x, line.y, strict=True)
        if math.isfinite(y) and (y > 0 or not decades)
    ]
    if not points:
        return Markup("")

    def height(value: float) -> float:
        return math.log10(value) if decades else value

    xs, ys = [x for x, _ in points], [height(y) for _, y in points]
    x_ticks = [tick for tick in nice_ticks(min(xs), max(xs)) if min(xs) <= tick <= max(xs)]
    y_ticks = _decade_ticks(min(ys), max(ys)) if decades else nice_ticks(min(ys), max(ys))
    low, high = (math.floor(min(ys)), math.ceil(max(ys))) if decades else (y_ticks[0], y_ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - min(xs)) / (max(xs) - min(xs) or 1.0) * (PLOT_WIDTH - PLOT_LEFT - PLOT_RIGHT)
        up = (y - low) / (high - low or 1.0) * (PLOT_HEIGHT - PLOT_TOP - PLOT_BOTTOM)
        return PLOT_LEFT + across, PLOT_HEIGHT - PLOT_BOTTOM - up

    bottom, right = PLOT_HEIGHT - PLOT_BOTTOM, PLOT_WIDTH - PLOT_RIGHT
    parts = [
        f'<svg class="chart" viewBox="0 0 {PLOT_WIDTH} {PLOT_HEIGHT}" role="img" aria-label="{escape(description)}">'
    ]
    for tick in y_ticks:
        y = place(min(xs), tick)[1]
        label = f"{10**tick:g}" if decades else f"{tick:g}"
        parts.append(f'<line class="grid" x1="{PLOT_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text text-anchor="end" x="{PLOT_LEFT - 7}" y="{y + 4:.1f}">{_minus(label)}</text>')
    for tick in x_ticks:
        x = place(tick, low)[0]
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{PLOT_TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 16}">{_minus(f"{tick:g}")}</text>')
    middle = (PLOT_LEFT + right) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{PLOT_HEIGHT - 8}">{escape(x_label)}</text>')
    parts.append(
        f'<text class="tick" transform="rotate(-90 12 {bottom / 2})" x="12" y="{bottom / 2}">{escape(y_label)}</text>'
    )
    for number, line in enumerate(lines):
        colour = REFERENCE_COLOUR if line.reference else COLOURS[number % len(COLOURS)]
        shown = [
            place(x, height(y))
            for x, y in zip(line.x, line.y, strict=True)
            if math.isfinite(y) and (y > 0 or not decades)
        ]
        dash = ' stroke-dasharray="5 4"' if line.reference else ""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in shown)
        width = 3 if line.strong else 1.6
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="{width}"{dash} points="{path}"/>')
        y = PLOT_TOP + 12 + 19 * number
        parts.append(
            f'<line x1="{right + 14}" x2="{right + 38}" y1="{y}" y2="{y}" stroke="{colour}" '
            f'stroke-width="{width}"{dash}/>'
        )
        parts.append(f'<text x="{right + 44}" y="{y + 4}">{escape(line.label)}</text>')
    return Markup("".join([*parts, "</svg>"]))


def _decade_ticks(low: float, high: float) -> list[float]:
    return [float(decade) for decade in range(math.floor(low), math.ceil(high) + 1)]


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _signed(value: float) -> str:
    return "0" if value == 0 else f"{value:+g}".replace("-", "−")


def nice_ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers that enclose [low, high]; a point is widened to a unit interval."""
    span = high - low or 1.0
    step = 10.0 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if span / (step * factor) <= 6)
    first, last = math.floor(low / step + 1e-9), math.ceil((high if high > low else low + 1.0) / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]
