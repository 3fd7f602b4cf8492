"""The picture of a pair on the cohort's page: rapid and standard scan side by side, small and self-contained."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from scintiflow.cohorts.workers import Lost, spread
from scintiflow.dicom.pairing import ScanPair
from scintiflow.dicom.reading import read_scan

WHITE_COUNTS = 40.0  # counts per pixel shown as black on a square-root scale, the same for every scan
SMALLER = 4  # a picture has a quarter of the scan's rows and columns
LONGEST_SECONDS_PER_PAIR = 60.0


@dataclass(frozen=True)
class Drawing:
    """What is to be drawn: the two objects, and k, by which the rapid one is brightened."""

    rapid: Path
    standard: Path
    count_ratio: float


def draw_pairs(pairs: list[ScanPair], objects: Mapping[str, Path], workers: int) -> list[str]:
    """Base64 of a PNG for each of `pairs`, '' if it could not be drawn; `objects` by instance UID.

    The result does not depend on the number of `workers`.
    """
    drawings = [
        Drawing(objects[pair.rapid.instance_uid], objects[pair.standard.instance_uid], pair.count_ratio)
        for pair in pairs
    ]
    drawn = spread(draw, drawings, workers=workers, seconds=LONGEST_SECONDS_PER_PAIR, preload=__name__)
    return ["" if isinstance(picture, Lost) else picture for picture in drawn]


def draw(drawing: Drawing) -> str:
    """Base64 of a PNG, a quarter as high and wide: rapid anterior and posterior, standard anterior and posterior."""
    rapid, standard = read_scan(drawing.rapid).counts, read_scan(drawing.standard).counts
    views = [_grey(view, drawing.count_ratio) for view in rapid] + [_grey(view, 1.0) for view in standard]
    target = BytesIO()
    Image.fromarray(np.hstack(views)).save(target, format="PNG")
    return base64.b64encode(target.getvalue()).decode()


def _grey(view: np.ndarray, factor: float) -> np.ndarray:
    """Grey values of mean counts times `factor`, dark where there are counts, as bone scans are read."""
    mean = np.asarray(Image.fromarray(view.astype(np.float32)).reduce(SMALLER))
    return (255 * (1 - np.sqrt(np.clip(mean * factor / WHITE_COUNTS, 0, 1)))).astype(np.uint8)
