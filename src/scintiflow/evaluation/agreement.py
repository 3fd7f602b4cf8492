"""Does a restoration agree with the counts it was made from? Measured, and judged by limits that a model carries.

Four numbers of a scan, the worse view of each; none needs a truth (our design):

- `deviance`: of the rapid scan's counts under restored / k inside the body, over its expectation (see `consistency`);
- `count_error`: |sum of restored / k over the sum of the rapid scan - 1|, whole frame;
- `excess`, `loss`: where a window of 10 or of 20 mm shows the most more, or the most less, than was measured in it:
  the root of the Poisson deviance of the window's counts, about a standard deviation. A tenth of the claimed counts
  is tolerated, else an injection site of a million counts would drown every lesion.

A limit is a quantile of what held-out children show, plus a margin. Beyond any of the four the counts contradict the
picture. Within all of them nothing is proven: what the counts cannot tell apart stays open.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

import numpy as np

from scintiflow.errors import ScintiflowError
from scintiflow.evaluation.cases import body_by_threshold
from scintiflow.evaluation.consistency import consistency, unit_deviance, window_counts, window_pixels
from scintiflow.files import read_json, write_json
from scintiflow.params import RefusalParams

WINDOWS_MM = (10.0, 20.0)
TOLERATED = 0.1  # of the counts that a picture claims in a window
WORDS = {
    "deviance": "the counts' deviance is {value:.3f} times its expectation, limit {limit:.3f}",
    "count_error": "the sum of counts is off by {value:.1%}, limit {limit:.1%}",
    "excess": "a place shows more than was measured, by {value:.1f} standard deviations, limit {limit:.1f}",
    "loss": "a place lost what was measured, by {value:.1f} standard deviations, limit {limit:.1f}",
}


@dataclass(frozen=True)
class Agreement:
    """How well a restored scan agrees with the rapid scan; smaller is better, see the module."""

    deviance: float
    count_error: float
    excess: float
    loss: float


@dataclass(frozen=True)
class Calibration:
    """From when on a model's restorations contradict the counts.

    Attributes:
        limits: a restoration beyond any of them contradicts its counts.
        scans: how many held-out scans stand behind them, `of` says which.
        checkpoint_sha256: of the weights that were calibrated.
    """

    limits: Agreement
    scans: int
    of: str
    quantile: float
    margins: Agreement
    checkpoint_sha256: str


def agreement(rapid: np.ndarray, restored: np.ndarray, ratio: float, spacing_mm: float) -> Agreement:
    """Compare a rapid scan with restored / k.

    Args:
        rapid: measured counts `[view, row, column]`.
        restored: estimated standard counts, same shape.
        ratio: k, expected standard / rapid counts.
        spacing_mm: side of a pixel.
    """
    body = body_by_threshold(rapid)
    by_view = [
        _of_view(rapid[view], restored[view].astype(np.float64), ratio, spacing_mm, body[view])
        for view in range(len(rapid))
    ]
    return Agreement(*(float(worst) for worst in np.max(by_view, axis=0)))  # NaN in any view is NaN


def calibrated(seen: Iterable[Agreement], params: RefusalParams, of: str, checkpoint_sha256: str) -> Calibration:
    """Limits from what restorations of held-out scans show. Raises ValueError for none."""
    table = np.array([astuple(one) for one in seen])
    if not len(table):
        raise ValueError("no scans to calibrate on")
    margins = Agreement(**params.margins.model_dump())
    quantiles = np.quantile(table, params.quantile, axis=0, method="higher")
    limits = Agreement(*(float(value) for value in quantiles + astuple(margins)))
    return Calibration(limits, len(table), of, params.quantile, margins, checkpoint_sha256)


def contradictions(seen: Agreement, calibration: Calibration) -> list[str]:
    """What speaks against a restoration, in words; empty where nothing does. NaN speaks against it."""
    return [
        WORDS[field.name].format(value=getattr(seen, field.name), limit=getattr(calibration.limits, field.name))
        for field in fields(Agreement)
        if not getattr(seen, field.name) <= getattr(calibration.limits, field.name)
    ]


def save_calibration(path: Path, calibration: Calibration) -> None:
    write_json(path, asdict(calibration))


def load_calibration(path: Path, checkpoint_sha256: str) -> Calibration | None:
    """The calibration of these weights; None where there is no such file.

    Raises ScintiflowError if the file cannot be read or belongs to other weights.
    """
    if not path.is_file():
        return None
    try:
        values = read_json(path)
        limits, margins = Agreement(**values["limits"]), Agreement(**values["margins"])
        calibration = Calibration(**values | {"limits": limits, "margins": margins})
    except (TypeError, KeyError, ValueError) as error:
        raise _unusable(path, f"is no calibration ({type(error).__name__})") from None
    if calibration.checkpoint_sha256 != checkpoint_sha256:
        raise _unusable(path, "is of other weights")
    return calibration


def _unusable(path: Path, reason: str) -> ScintiflowError:
    return ScintiflowError(reason, where=path, remedy="Run the evaluation again, or remove the file")


def _of_view(rapid: np.ndarray, restored: np.ndarray, ratio: float, spacing_mm: float, body: np.ndarray) -> tuple:
    claimed, measured = restored.sum() / ratio, float(rapid.sum(dtype=np.int64))
    windows = [_windows(rapid, restored / ratio, window_pixels(spacing_mm, width)) for width in WINDOWS_MM]
    return (
        consistency(rapid, restored, ratio, body).deviance,
        abs(float(claimed) / measured - 1) if measured else math.inf,
        max(excess for excess, _ in windows),
        max(loss for _, loss in windows),
    )


def _windows(rapid: np.ndarray, mean: np.ndarray, side: int) -> tuple[float, float]:
    """The largest excess and the largest loss of all windows of `side` pixels."""
    measured, claimed = window_counts(rapid, mean, side)
    least, most = claimed * (1 - TOLERATED), claimed * (1 + TOLERATED)
    too_much, too_little = measured < least, measured > most
    excess = unit_deviance(measured[too_much], least[too_much])
    loss = unit_deviance(measured[too_little], most[too_little])
    return math.sqrt(excess.max(initial=0.0)), math.sqrt(loss.max(initial=0.0))
