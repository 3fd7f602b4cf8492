"""The review page: one HTML file that opens in any browser and asks nobody for anything.

Its policy allows the one script and the one style that are in it, by their hashes, and nothing else. It names no
patient. Counts travel as 16-bit integers, scores as 8-bit ones.
"""

import base64
import hashlib
import json
from pathlib import Path

import numpy as np
from markupsafe import Markup

from scintiflow.evaluation.cases import body_by_threshold, bounding_box
from scintiflow.evaluation.panels import UNSUPPORTED_BEYOND
from scintiflow.evaluation.pictures import grey_window
from scintiflow.files import whole_file
from scintiflow.pages import page_template
from scintiflow.viewer.pair import Shown

HERE = Path(__file__).parent
LARGEST_STORED = 2**16 - 1
MARGIN_PIXELS = 24
SCORE_STEPS = 14  # 8-bit steps for one standard deviation: +-9 fits


def write_page(shown: Shown, path: Path) -> None:
    """Render a restored scan for review."""
    style, script = (Markup((HERE / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    text = page_template("scintiflow.viewer", "page.html.j2").render(
        shown=shown,
        style=style,
        script=script,
        policy=f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'",
        data=Markup(json.dumps(_data(shown))),
        sums=[(name, *_sums(shown, view)) for view, name in enumerate(shown.views)],
    )
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _data(shown: Shown) -> dict:
    _, rows, columns = shown.restored.shape
    body = body_by_threshold(shown.restored)
    return {
        "rows": rows,
        "columns": columns,
        "spacing": shown.spacing_mm,
        "views": list(shown.views),
        "sides": shown.sides,
        "body": _box(body),
        "window": grey_window(shown.restored, body),
        "largest": float(max(shown.restored.max(), 0 if shown.rapid is None else shown.rapid.max())),
        "restored": [_counts(view) for view in shown.restored],
        "rapid": None if shown.rapid is None else [_counts(view) for view in shown.rapid],
        "scores": None if shown.scores is None else [_scores(view) for view in shown.scores],
        "scoreSteps": SCORE_STEPS,
        "beyond": UNSUPPORTED_BEYOND,
    }


def _box(body: np.ndarray) -> list[int]:
    """First and last row, first and last column around both views' body, with a margin."""
    rows, columns = bounding_box(np.any(body, axis=0), MARGIN_PIXELS)
    return [rows.start, rows.stop, columns.start, columns.stop]


def _counts(view: np.ndarray) -> dict:
    step = max(float(view.max()), 1.0) / LARGEST_STORED
    return {"step": step, "values": _base64(np.rint(view / step).astype("<u2"))}


def _scores(view: np.ndarray) -> str:
    return _base64(np.rint(view * SCORE_STEPS).clip(-127, 127).astype(np.int8))


def _sums(shown: Shown, view: int) -> tuple[str, str]:
    measured = "not at hand" if shown.rapid is None else f"{shown.rapid[view].sum():,.0f}"
    return measured, f"{shown.restored[view].sum():,.0f}"


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
