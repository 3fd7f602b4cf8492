"""One picture of a held-out view while training runs: what went in, what came out, what was measured."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scintiflow.files import whole_file
from scintiflow.restoration.cascade import Cascade
from scintiflow.restoration.counts import gaussian_blur
from scintiflow.restoration.validation import ValidationView, restore_view

PICTURES_AT_MOST = 6
WHITE_QUANTILE = 0.995  # of the Gaussian's counts: one window for all images, dark is many counts
INCHES_HIGH = 6.0


def picture_steps(steps: int, every: int) -> list[int]:
    """Which of the validation steps deserve a picture: at most PICTURES_AT_MOST, evenly spread, the last included."""
    validations = [*range(every, steps, every), steps]
    places = np.linspace(0, len(validations) - 1, min(PICTURES_AT_MOST, len(validations)))
    return [validations[int(place)] for place in places.round()]


def draw_panel(cascade: Cascade, view: ValidationView, device: torch.device, title: str, path: Path) -> None:
    """Write a PNG of input, Gaussian base, f^IR1, f^IR2 and target, all in counts of the standard scan."""
    first, second = restore_view(cascade, view, device)
    scaled = view.input * view.k
    images = {
        "input x k": scaled,
        "Gaussian": gaussian_blur(scaled, cascade.first.prepare.base_blur_pixels),
        "f^IR1": first.counts,
        "f^IR2 (masks)": second.counts,
        "independent rest": view.target / view.target_share,
    }
    pixels = {name: image.float().cpu().numpy()[0, 0] for name, image in images.items()}
    brightest = max(1.0, float(np.quantile(pixels["Gaussian"], WHITE_QUANTILE)))
    rows, columns = pixels["Gaussian"].shape
    figure = Figure(
        figsize=(len(pixels) * INCHES_HIGH * max(0.25, columns / rows), INCHES_HIGH), layout="constrained"
    )
    for axis, (name, image) in zip(figure.subplots(1, len(pixels)), pixels.items(), strict=True):
        axis.imshow(np.sqrt(image), cmap="gray_r", vmin=0, vmax=np.sqrt(brightest))
        axis.set_title(name, fontsize=9)
        axis.axis("off")
    figure.suptitle(title, fontsize=10)
    with whole_file(path) as partial:
        FigureCanvasAgg(figure).print_png(partial)
