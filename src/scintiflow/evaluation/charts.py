"""Small charts as inline SVG: crisp at any size, a few kilobytes, readable without scripts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, ROW, LEFT, RIGHT, AXIS = 860, 54, 190, 24, 34


@dataclass(frozen=True)
class DotRow:
    """One row of a dot chart: a label, one value for each patient, their mean and its interval."""

    label: str
    values: Sequence[float]
    mean: float | None
    low: float | None
    high: float | None


def dot_chart(rows: Sequence[DotRow], unit: str, description: str) -> Markup:
    """Patients as dots on a common axis with a zero line, the mean as a bar with its interval."""
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
            kind = "gain" if value > 0 else "loss"
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


def _signed(value: float) -> str:
    return "0" if value == 0 else f"{value:+g}".replace("-", "−")


def nice_ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers that enclose [low, high]; a point is widened to a unit interval."""
    span = high - low or 1.0
    step = 10.0 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if span / (step * factor) <= 6)
    first, last = math.floor(low / step + 1e-9), math.ceil((high if high > low else low + 1.0) / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]
