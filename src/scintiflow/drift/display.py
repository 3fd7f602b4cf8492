"""A verdict as people see it: a sentence, a picture, one self-contained page; and as `plan` reads it."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from scintiflow.drift.comparison import FeatureTest, TrainedRange, Verdict
from scintiflow.drift.features import NUMBERS
from scintiflow.drift.verdict import DRIFT, TITLES, TOO_FEW, VERDICT
from scintiflow.evaluation.columns import AGE_BANDS
from scintiflow.files import whole_file, write_json
from scintiflow.pages import page_template
from scintiflow.params import WatchParams

PICTURE, PAGE = "drift.png", "drift.html"
NEW, TRAINED, ALARM = "#c1502e", "#7d8794", "#b3362b"


def write_verdict(verdict: Verdict, model: str, params: WatchParams, folder: Path) -> None:
    """Write `drift.json`, `drift.png` (if anything was tested) and `drift.html` into a folder, made if absent."""
    folder.mkdir(parents=True, exist_ok=True)
    if verdict.tests:
        draw(verdict, folder / PICTURE)
    _render(verdict, model, params, folder)
    write_json(folder / VERDICT, {"model": model, **summary(verdict)})


def summary(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON: plain numbers, no scan."""
    return {
        "verdict": verdict.verdict,
        "drifted": list(verdict.drifted),
        "scans": verdict.scans,
        "first_day": verdict.first_day,
        "last_day": verdict.last_day,
        "features": {
            test.feature: {"effect": test.effect, "chance": test.chance, "corrected": test.corrected}
            for test in verdict.tests
        },
        "untested": verdict.untested,
    }


def verdict_lines(verdict: Verdict, model: str) -> Iterator[str]:
    """One line on the whole, one for each feature that was tested."""
    when = f" of {verdict.first_day} to {verdict.last_day}" if verdict.scans else ""
    yield f"{verdict.verdict}: {verdict.scans} restored scans{when} against the training cohort of {model}"
    for test in sorted(verdict.tests, key=lambda test: (test.corrected, -test.effect)):
        mark = "x" if test.drifted else " "
        yield f"  {mark} {TITLES[test.feature]}: effect {test.effect:.2f}, chance {chance_text(test.corrected)}"
    for feature, words in verdict.untested.items():
        yield f"    {TITLES[feature]}: not tested, {words}"


def chance_text(chance: float) -> str:
    return f"{chance:.2f}" if chance >= 0.01 else "below 0.0001" if chance < 1e-4 else f"{chance:.4f}"


def draw(verdict: Verdict, path: Path) -> None:
    """One panel for each feature: cumulative shares of numbers, bars of categories."""
    rows = (len(verdict.tests) + 1) // 2
    figure = Figure(figsize=(10.5, 0.4 + 2.5 * rows), layout="constrained")
    panels = np.atleast_2d(figure.subplots(rows, 2)).ravel()
    for panel, test in zip(panels, verdict.tests, strict=False):
        (_cumulative if test.feature in NUMBERS else _bars)(panel, test)
        words = "drift" if test.drifted else "no drift"
        panel.set_title(
            f"{TITLES[test.feature]}: {words}, effect {test.effect:.2f}",
            fontsize=10,
            color=ALARM if test.drifted else "#1c2430",
            loc="left",
        )
        panel.tick_params(labelsize=8)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    for panel in panels[len(verdict.tests) :]:
        panel.axis("off")
    of_a_range = [isinstance(test.trained, TrainedRange) for test in verdict.tests]
    for kind in set(of_a_range):
        panels[of_a_range.index(kind)].legend(fontsize=8, frameon=False, loc="best")
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})


def _cumulative(panel: Axes, test: FeatureTest) -> None:
    curves = [(test.new, NEW, 1.5, "restored")]
    if isinstance(test.trained, TrainedRange):
        panel.axvspan(*test.trained, color=TRAINED, alpha=0.25, linewidth=0, label="range of training")
    else:
        curves.insert(0, (test.trained, TRAINED, 2.5, "training"))
    for values, colour, width, label in curves:
        panel.ecdf(values, color=colour, linewidth=width, label=f"{label} ({len(values)})")
    panel.set_ylabel("share at or below", fontsize=8)
    panel.set_ylim(0, 1.02)
    if test.feature.startswith("counts"):
        panel.xaxis.set_major_formatter(EngFormatter())


def _bars(panel: Axes, test: FeatureTest) -> None:
    ages = [name for name, _ in AGE_BANDS]
    names = sorted(
        {*test.trained, *test.new},
        key=lambda name: (ages.index(name) if name in ages else len(ages), -test.trained.get(name, 0), name),
    )
    places = np.arange(len(names))
    for counts, colour, shift in ((test.trained, TRAINED, -0.2), (test.new, NEW, 0.2)):
        total = sum(counts.values())
        panel.barh(places + shift, [counts.get(name, 0) / total for name in names], height=0.36, color=colour)
    panel.set_yticks(places, names)
    panel.invert_yaxis()
    panel.set_xlabel("share of scans", fontsize=8)


def _render(verdict: Verdict, model: str, params: WatchParams, folder: Path) -> None:
    picture = base64.b64encode((folder / PICTURE).read_bytes()).decode() if verdict.tests else ""
    page = page_template("scintiflow.drift", "drift.html.j2").render(
        verdict=verdict,
        model=model,
        params=params,
        picture=picture,
        titles=TITLES,
        chance_text=chance_text,
        mood={DRIFT: "fail", TOO_FEW: "open"}.get(verdict.verdict, "pass"),
    )
    with whole_file(folder / PAGE) as partial:
        partial.write_text(page, encoding="utf-8")
