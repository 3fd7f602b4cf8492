"""A verdict as people see it: a sentence, a picture, one self-contained page; and as `plan` reads it."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scintiflow.drift.comparison import Verdict
from scintiflow.drift.pictures import draw, keys_of, panel_png
from scintiflow.drift.verdict import DRIFT, TITLES, TOO_FEW, VERDICT
from scintiflow.files import whole_file, write_json
from scintiflow.pages import page_template
from scintiflow.params import WatchParams

PICTURE, PAGE = "drift.png", "drift.html"


def write_verdict(verdict: Verdict, model: str, params: WatchParams, folder: Path) -> None:
    """Write `drift.json`, `drift.png` (if anything was tested) and `drift.html` into a folder, made if absent."""
    folder.mkdir(parents=True, exist_ok=True)
    if verdict.tests:
        draw(verdict, folder / PICTURE)
    else:
        (folder / PICTURE).unlink(missing_ok=True)  # of an earlier verdict
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


def _render(verdict: Verdict, model: str, params: WatchParams, folder: Path) -> None:
    page = page_template("scintiflow.drift", "drift.html.j2").render(
        verdict=verdict,
        model=model,
        params=params,
        panels=[(test, base64.b64encode(panel_png(test)).decode()) for test in verdict.tests],
        keys=keys_of(verdict),
        titles=TITLES,
        chance_text=chance_text,
        mood={DRIFT: "fail", TOO_FEW: "open"}.get(verdict.verdict, "pass"),
    )
    with whole_file(folder / PAGE) as partial:
        partial.write_text(page, encoding="utf-8")
