"""One picture of a restored scan: rapid, restored, and where the counts do not support it. No truth, no identity."""

from pathlib import Path

import numpy as np

from scintiflow.dicom.derived import MARKED_DESCRIPTION
from scintiflow.dicom.scan import Scan
from scintiflow.evaluation.cases import body_by_threshold, bounding_box
from scintiflow.evaluation.consistency import WINDOW_MM, scores_of_views
from scintiflow.evaluation.panels import UNSUPPORTED_BEYOND, Panel, draw_panels
from scintiflow.evaluation.pictures import CROP_MARGIN_PIXELS, grey_window


def draw_preview(scan: Scan, restored: np.ndarray, ratio: float, path: Path, marked: bool = False) -> None:
    """Write a PNG of a rapid scan times k, its restoration `[view, row, column]`, and the consistency map.

    `marked`: the counts contradict the restoration, and the picture says so as the DICOM object does.
    """
    body = body_by_threshold(scan.counts)
    boxes = [bounding_box(view, CROP_MARGIN_PIXELS) for view in body]

    def cropped(volume: np.ndarray) -> list[np.ndarray]:
        return [volume[view][box] for view, box in enumerate(boxes)]

    ceiling = grey_window(restored, body)
    panels = [
        Panel("rapid × k", cropped(scan.counts * ratio), subtitle=f"measured, k = {ratio:.2f}"),
        Panel("restored", cropped(restored), subtitle="processed"),
        Panel(
            "unsupported by counts", cropped(restored), colour=cropped(unsupported(scan, restored, ratio)),
            subtitle=f"{WINDOW_MM:g} mm windows; red: too much, blue: lost",
        ),
    ]  # fmt: skip
    names = list(scan.views) or [f"view {number + 1}" for number in range(len(boxes))]
    draw_panels(panels, names, ceiling, path, MARKED_DESCRIPTION if marked else "")


def unsupported(scan: Scan, restored: np.ndarray, ratio: float) -> np.ndarray:
    """Standard deviations by which a place shows too much (positive) or too little; NaN where counts support it."""
    scores = scores_of_views(scan.counts, restored, ratio, scan.spacing_mm)
    return np.where(np.abs(scores) > UNSUPPORTED_BEYOND, scores, np.nan)
