"""From a scan to SAM's square canvas and back.

Both views are cropped to one window (the union of their body boxes and a narrow margin, so that head
and feet do not lie on the canvas's edge), laid side by side, anterior left and posterior right, and
scaled so that the longest side fills the canvas; the rest is padding at the bottom or the right, as SAM
wants it. An uncropped 1024 x 256 view would waste three quarters of the canvas (our design). A picture has one
pane instead of two views, and its colours are the canvas's colours.

A pixel (row, column) of a view lies at canvas position (y, x), both in SAM's convention in which
whole numbers are pixel centres.
"""

from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from scintiflow.sam.anatomy import Box

VERSION = 2  # of crop, layout and window; raise it whenever equal scans are drawn otherwise
MARGIN = 0.02  # of the window's height, on all sides, as far as the scan reaches


@dataclass(frozen=True)
class Placement:
    """Where a scan lies on the canvas.

    Attributes:
        shape: (rows, columns) of a view of the scan.
        window: the crop, in pixels of the scan, the same for both views.
        image_size: side of the canvas.
        view_size: (rows, columns) that one view's crop takes on the canvas.
        panes: views side by side.
    """

    shape: tuple[int, int]
    window: Box
    image_size: int
    view_size: tuple[int, int]
    panes: int = 2

    @property
    def used(self) -> tuple[int, int]:
        """(rows, columns) of the canvas that are not padding."""
        return self.view_size[0], self.panes * self.view_size[1]

    def to_canvas(self, points: np.ndarray, view: int) -> np.ndarray:
        """Canvas positions (x, y) `[..., 2]` of scan positions (row, column) `[..., 2]` of a view."""
        rows, columns = points[..., 0], points[..., 1]
        y = (rows - self.window.top + 0.5) * self.view_size[0] / self.window.height - 0.5
        x = (columns - self.window.left + 0.5) * self.view_size[1] / self.window.width - 0.5
        return np.stack([x + view * self.view_size[1], y], axis=-1)


def place(shape: tuple[int, int], boxes: tuple[Box, ...], image_size: int) -> Placement:
    """Placement of a scan with the given body boxes (anterior, posterior), or of a picture with its one box."""
    body, panes = reduce(Box.union, boxes), len(boxes)
    margin = round(MARGIN * body.height)
    window = Box(
        max(0, body.top - margin),
        max(0, body.left - margin),
        min(shape[0], body.bottom + margin),
        min(shape[1], body.right + margin),
    )
    scale = image_size / max(window.height, panes * window.width)
    height = min(image_size, max(1, round(window.height * scale)))
    width = min(image_size // panes, max(1, round(window.width * scale)))
    return Placement(shape, window, image_size, (height, width), panes)


def draw(expected_standard: np.ndarray, placement: Placement, ceiling_counts: float) -> Tensor:
    """The canvas without padding: float32 `[3, y, x]` in 0..255, for `Sam.preprocess`.

    Args:
        expected_standard: counts `[view, row, column]` on the standard scan's scale (k R for a rapid scan), or a
            picture's levels `[plane, row, column]`, one plane or three.
        ceiling_counts: counts per scan pixel that are shown as white; the window is the square root from 0
            to this number and is the same for every image.
    """
    cropped = torch.from_numpy(np.ascontiguousarray(_crop(expected_standard, placement), dtype=np.float32))
    small = _resize(cropped, placement.view_size).clamp(0, ceiling_counts)
    side_by_side = small if placement.panes == 1 else torch.cat(list(small), dim=1)
    return (255 * torch.sqrt(side_by_side / ceiling_counts)).expand(3, -1, -1)


def masks_to_canvas(masks: np.ndarray, placement: Placement, side: int) -> Tensor:
    """What SAM should answer: float32 `[structure, view, y, x]` on a canvas of `side` pixels, 0..1.

    Each structure and view is one answer on the whole canvas: the mask in its own half, zero elsewhere.
    """
    structures = masks.shape[0]
    cropped = torch.from_numpy(np.ascontiguousarray(_crop(masks, placement), dtype=np.float32))
    small = _resize(cropped, placement.view_size)
    height, width = placement.view_size
    canvas = torch.zeros(structures, placement.panes, placement.image_size, placement.image_size)
    for view in range(placement.panes):
        canvas[:, view, :height, view * width : (view + 1) * width] = small[:, view]
    return _resize(canvas, (side, side))


def masks_from_canvas(logits: Tensor, placement: Placement) -> np.ndarray:
    """Soft masks in 0..1, float32 `[structure, view, row, column]`, from logits `[structure, view, y, x]`.

    Logits of any square size are brought to the canvas, cut to the view's half and brought to the scan,
    bilinearly (as `Sam.postprocess_masks` does); outside the window a mask is zero.
    """
    structures = logits.shape[0]
    height, width = placement.view_size
    window = placement.window
    masks = np.zeros((structures, placement.panes, *placement.shape), dtype=np.float32)
    canvas = functional.interpolate(
        logits.float(), (placement.image_size, placement.image_size), mode="bilinear", align_corners=False
    )
    for view in range(placement.panes):
        half = canvas[:, view : view + 1, :height, view * width : (view + 1) * width]
        scan = functional.interpolate(half, (window.height, window.width), mode="bilinear", align_corners=False)
        masks[:, view, window.top : window.bottom, window.left : window.right] = torch.sigmoid(scan[:, 0]).numpy()
    return masks


def _crop(array: np.ndarray, placement: Placement) -> np.ndarray:
    window = placement.window
    return array[..., window.top : window.bottom, window.left : window.right]


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with antialiasing: shrinking takes the local mean, which counts can bear."""
    flat = images.reshape(-1, 1, *images.shape[-2:])
    small = functional.interpolate(flat, size, mode="bilinear", align_corners=False, antialias=True)
    return small.reshape(*images.shape[:-2], *size)
