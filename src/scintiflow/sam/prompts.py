"""What SAM is asked: one prompt for each structure and view, computable from any scan.

Body, kidneys, bladder and injection site are asked for by a box, bone by points on the skeleton.
All come from the body's outline and height-scaled proportions, in pixels of the scan; `to_canvas`
brings them to SAM's canvas.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from scintiflow.sam import spots
from scintiflow.sam.anatomy import Box, Landmarks, body_box, body_mask, landmarks
from scintiflow.sam.canvas import Placement
from scintiflow.structures import BLADDER, BODY, INJECTION_SITE, KIDNEYS

VERSION = 2  # of the recipe, mask prompts included; raise it whenever equal scans give other prompts

BOXED = (BODY, KIDNEYS, BLADDER, INJECTION_SITE)
KIDNEYS_REGION = ((0.45, 0.8), (-0.075, 0.075))
BLADDER_REGION = ((0.82, 1.12), (-0.04, 0.04))
INJECTION_HALF_SIDE_MM = 25.0
POINT_JITTER = 0.1  # points move by prompt_jitter times this share of the body's height


@dataclass(frozen=True)
class Prompts:
    """Prompts of one scan.

    Attributes:
        body_boxes: of the anterior and the posterior view; of a picture one, the frame.
        boxes: float64 `[boxed structure, view, (top, left, bottom, right)]`, structures as in `BOXED`.
        points: float64 `[view, point, (row, column)]` for bone: skull, spine, pelvis, both knees.
    """

    body_boxes: tuple[Box, ...]
    boxes: np.ndarray
    points: np.ndarray


def find_prompts(expected_standard: np.ndarray, spacing_mm: float) -> Prompts:
    """Prompts of a scan from its counts `[view, row, column]` on the standard scan's scale."""
    views = [counts.astype(np.float32) for counts in expected_standard]
    outlines = [body_mask(counts, spacing_mm) for counts in views]
    marks = [landmarks(outline, spacing_mm) for outline in outlines]
    (row, column), _ = spots.limb_spot(spots.both_views(expected_standard), outlines[0], marks[0], spacing_mm)
    columns = (column, expected_standard.shape[2] - 1 - column)
    first, second = (body_box(outline) for outline in outlines)
    return Prompts(
        body_boxes=(first, second),
        boxes=np.stack(
            [
                _boxes(box, mark, (row, column), spacing_mm)
                for box, mark, column in zip((first, second), marks, columns, strict=True)
            ],
            axis=1,
        ),
        points=np.stack(
            [_bone_points(box, mark, spacing_mm) for box, mark in zip((first, second), marks, strict=True)]
        ),
    )


def jittered(prompts: Prompts, share: float, generator: np.random.Generator) -> Prompts:
    """Every side of every box moved by up to `share` of the box's extent, points alike; sides never cross."""
    boxes = prompts.boxes.copy()
    extent = np.tile(boxes[..., 2:] - boxes[..., :2], 2)
    boxes += generator.uniform(-share, share, boxes.shape) * np.clip(extent, 0, None)
    boxes = np.concatenate(
        [np.minimum(boxes[..., :2], boxes[..., 2:]), np.maximum(boxes[..., :2], boxes[..., 2:])], axis=-1
    )
    reach = share * POINT_JITTER * np.array([box.height for box in prompts.body_boxes])[:, None, None]
    points = prompts.points + generator.uniform(-1, 1, prompts.points.shape) * reach
    return replace(prompts, boxes=boxes, points=points)


def mirrored(prompts: Prompts, columns: int) -> Prompts:
    """Prompts of the scan whose views are flipped left to right; `columns` is the width of a view."""
    last = columns - 1
    boxes = np.stack(
        [prompts.boxes[..., 0], last - prompts.boxes[..., 3], prompts.boxes[..., 2], last - prompts.boxes[..., 1]],
        axis=-1,
    )
    points = np.stack([prompts.points[..., 0], last - prompts.points[..., 1]], axis=-1)
    body_boxes = (Box(box.top, columns - box.right, box.bottom, columns - box.left) for box in prompts.body_boxes)
    return Prompts(tuple(body_boxes), boxes, points)


def to_canvas(prompts: Prompts, placement: Placement) -> tuple[Tensor, Tensor]:
    """Boxes `[boxed structure x view, (x0, y0, x1, y1)]` and points `[view, point, (x, y)]`, float32."""
    boxes = np.stack(
        [
            np.concatenate(
                [
                    placement.to_canvas(prompts.boxes[:, view, :2], view),
                    placement.to_canvas(prompts.boxes[:, view, 2:], view),
                ],
                axis=-1,
            )
            for view in range(placement.panes)
        ],
        axis=1,
    )
    points = np.stack([placement.to_canvas(prompts.points[view], view) for view in range(placement.panes)])
    as_tensor = [torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)) for array in (boxes, points)]
    return as_tensor[0].reshape(-1, 4), as_tensor[1]


def _boxes(box: Box, marks: Landmarks, spot: tuple[int, int], spacing_mm: float) -> np.ndarray:
    half = INJECTION_HALF_SIDE_MM / spacing_mm
    boxes = [
        (box.top, box.left, box.bottom - 1, box.right - 1),
        spots.region(marks, *KIDNEYS_REGION, spacing_mm),
        spots.region(marks, *BLADDER_REGION, spacing_mm),
        (spot[0] - half, spot[1] - half, spot[0] + half, spot[1] + half),
    ]
    return np.array(boxes, dtype=np.float64)


def _bone_points(box: Box, marks: Landmarks, spacing_mm: float) -> np.ndarray:
    middle = marks.midline
    side = 0.05 * marks.stature_mm / spacing_mm
    return np.array(
        [
            (box.top + 0.35 * (marks.chin_row - box.top), middle),
            (marks.trunk_row(0.35), middle),
            (marks.trunk_row(0.7), middle),
            (marks.trunk_row(0.86), middle - side),
            (marks.trunk_row(0.86), middle + side),
            (marks.knee_row, middle - side),
            (marks.knee_row, middle + side),
        ],
        dtype=np.float64,
    )
