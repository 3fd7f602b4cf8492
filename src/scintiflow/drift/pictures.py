"""The features of a verdict as pictures: cumulative shares of numbers, bars of categories."""

import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from scintiflow.drift.comparison import FeatureTest, TrainedRange, Verdict
from scintiflow.drift.features import NUMBERS
from scintiflow.drift.verdict import TITLES
from scintiflow.evaluation.columns import AGE_BANDS
from scintiflow.files import whole_file

NEW, TRAINED, RANGE, ALARM, INK = "#c1502e", "#7d8794", "#dee0e3", "#b3362b", "#1c2430"
PANEL_INCHES = (5.2, 2.6)
LARGEST_BARS = 6  # in a panel of usual height
KEYS = {"restored scans": NEW, "training cohort": TRAINED, "range of training": RANGE}  # what the colours mean


def draw(verdict: Verdict, path: Path) -> None:
    """One PNG with a panel for each feature that was tested, and one legend for all."""
    pairs = [verdict.tests[first : first + 2] for first in range(0, len(verdict.tests), 2)]
    heights = [max(_height(test) for test in pair) for pair in pairs]
    figure = Figure(figsize=(2 * PANEL_INCHES[0], 0.4 + sum(heights)))
    legend, body = figure.subfigures(2, 1, squeeze=False, height_ratios=(0.4, sum(heights))).ravel()
    shown = [key for key in KEYS if key in keys_of(verdict)]
    legend.legend(handles=[_handle(key) for key in shown], loc="center left", ncols=len(shown), frameon=False)
    places = body.subfigures(len(pairs), 2, height_ratios=heights, squeeze=False)
    for place, test in zip(places.ravel(), verdict.tests, strict=False):
        _panel(place.subplots(), test)
    figure.set_layout_engine("constrained")
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})


def panel_png(test: FeatureTest) -> bytes:
    """One feature alone, for pages that lay panels out by the width of the screen; `keys_of` is its legend."""
    figure = Figure(figsize=(PANEL_INCHES[0], _height(test)), layout="constrained")
    _panel(figure.subplots(), test)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=160, metadata={"Software": None})
    return png.getvalue()


def keys_of(verdict: Verdict) -> dict[str, str]:
    """What the colours in the pictures mean: name -> colour."""
    ranges = [isinstance(test.trained, TrainedRange) for test in verdict.tests]
    absent = {"range of training": not any(ranges), "training cohort": all(ranges)}
    return {key: colour for key, colour in KEYS.items() if not absent.get(key)}


def _height(test: FeatureTest) -> float:
    bars = 0 if test.feature in NUMBERS else len({*test.trained, *test.new})
    return PANEL_INCHES[1] * max(1.0, bars / LARGEST_BARS)


def _handle(key: str) -> Line2D | Patch:
    return (
        Patch(color=KEYS[key], label=key)
        if key == "range of training"
        else Line2D([], [], color=KEYS[key], linewidth=3, label=key)
    )


def _panel(panel: Axes, test: FeatureTest) -> None:
    (_cumulative if test.feature in NUMBERS else _bars)(panel, test)
    title = f"{TITLES[test.feature]}: {'drift' if test.drifted else 'no drift'}, effect {test.effect:.2f}"
    panel.set_title(title, fontsize=11, color=ALARM if test.drifted else INK, loc="left")
    panel.tick_params(labelsize=9)
    panel.spines[["top", "right"]].set_visible(False)


def _cumulative(panel: Axes, test: FeatureTest) -> None:
    if isinstance(test.trained, TrainedRange):
        panel.axvspan(*test.trained, color=RANGE, linewidth=0)
        compared = f"{len(test.new)} scans"
    else:
        panel.ecdf(test.trained, color=TRAINED, linewidth=4.5)  # seen beside a thin line in the same place
        compared = f"{len(test.new)} scans, {len(test.trained)} of training"
    panel.ecdf(test.new, color=NEW, linewidth=1.6)
    panel.set_xlabel(compared, fontsize=9)
    panel.set_ylabel("share at or below", fontsize=9)
    panel.set_ylim(0, 1.03)
    panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    panel.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    if test.feature.startswith("counts"):
        panel.xaxis.set_major_formatter(EngFormatter())


def _bars(panel: Axes, test: FeatureTest) -> None:
    ages = [name for name, _ in AGE_BANDS]
    names = sorted(
        {*test.trained, *test.new},
        key=lambda name: (ages.index(name) if name in ages else len(ages), -test.trained.get(name, 0), name),
    )
    places, totals = np.arange(len(names)), []
    for counts, colour, shift in ((test.new, NEW, 0.2), (test.trained, TRAINED, -0.2)):
        totals.append(sum(counts.values()))
        panel.barh(places + shift, [counts.get(name, 0) / totals[-1] for name in names], height=0.36, color=colour)
    panel.set_yticks(places, names)
    panel.invert_yaxis()
    panel.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    panel.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    panel.set_xlabel("share of {} scans, {} of training".format(*totals), fontsize=9)
