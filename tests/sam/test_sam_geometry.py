"""Canvas, landmarks and prompts: positions survive, mirror and scale as they should."""

import numpy as np
import pytest
import torch
from crude_child import SPACING_MM, small_architecture
from scipy import ndimage

from scintiflow.sam.anatomy import Box, body_box, body_mask, landmarks
from scintiflow.sam.build import build_sam
from scintiflow.sam.canvas import draw, masks_from_canvas, masks_to_canvas, place
from scintiflow.sam.mask_prompts import expected_shape
from scintiflow.sam.overlap import dice
from scintiflow.sam.prompts import BOXED, find_prompts, jittered, mirrored, to_canvas
from scintiflow.structures import BLADDER, BODY, INJECTION_SITE, KIDNEYS


def _logits(masks: torch.Tensor) -> torch.Tensor:
    return torch.logit(masks.clamp(1e-4, 1 - 1e-4))


def test_masks_come_back_from_the_canvas_where_they_were(child):
    truth = child().masks
    placement = place(truth.shape[2:], (Box(5, 10, 240, 90), Box(8, 6, 236, 80)), 512)
    back = masks_from_canvas(_logits(masks_to_canvas(truth, placement, 512)), placement)
    window = placement.window
    inside = np.zeros(truth.shape[2:], dtype=bool)
    inside[window.top : window.bottom, window.left : window.right] = True
    assert window == Box(0, 1, 245, 95), "the union of both boxes with a margin of 2% of its height"
    assert not back[..., ~inside].any()
    assert dice(back > 0.5, truth & inside).min() > 0.97


def test_the_window_keeps_a_margin_but_never_leaves_the_scan():
    box = Box(100, 40, 300, 80)
    window = place((400, 90), (box, box), 256).window
    assert window == Box(96, 36, 304, 84)
    assert place((300, 80), (box, box), 256).window == Box(96, 36, 300, 80)


@pytest.mark.parametrize("view", [0, 1])
def test_a_point_is_drawn_where_to_canvas_says(view):
    counts = np.zeros((2, 200, 80), dtype=np.float32)
    counts[view, 120:123, 30:33] = 40.0
    placement = place((200, 80), (Box(10, 5, 190, 75), Box(10, 5, 190, 75)), 360)
    image = draw(counts, placement, 40.0)[0].numpy()
    y, x = ndimage.center_of_mass(image)
    expected = placement.to_canvas(np.array([121.0, 31.0]), view)
    np.testing.assert_allclose([x, y], expected, atol=0.05)


def test_the_window_is_fixed_and_never_depends_on_the_brightest_pixel(child):
    counts = child().mean.astype(np.float32)
    boxes = (Box(0, 0, 256, 96), Box(0, 0, 256, 96))
    placement = place(counts.shape[1:], boxes, 256)
    plain = draw(counts, placement, 40.0)
    counts[0, 3, 3] = 50000.0
    hot = draw(counts, placement, 40.0)
    changed = (plain != hot).any(dim=0).numpy()
    rows, columns = np.nonzero(changed)
    assert rows.max() < 8
    assert columns.max() < 8
    assert float(hot.max()) <= 255.0


def test_views_do_not_bleed_into_each_other():
    counts = np.zeros((2, 64, 32), dtype=np.float32)
    counts[0] = 40.0
    placement = place((64, 32), (Box(0, 0, 64, 32), Box(0, 0, 64, 32)), 64)
    image = draw(counts, placement, 40.0)[0]
    assert torch.allclose(image[:, :32], torch.tensor(255.0))
    assert not image[:, 32:].any()


def test_landmarks_follow_the_body_not_the_picture(child):
    small = landmarks(child(800).masks[BODY, 0], SPACING_MM)
    same_shifted = landmarks(np.roll(child(800).masks[BODY, 0], 7, axis=0), SPACING_MM)
    tall = landmarks(child(1150).masks[BODY, 0], SPACING_MM)
    assert same_shifted.hip_row == pytest.approx(small.hip_row + 7)
    assert tall.stature_mm == pytest.approx(1150, abs=15)
    small_head = (small.chin_row - 12) * SPACING_MM / small.stature_mm
    tall_head = (tall.chin_row - 12) * SPACING_MM / tall.stature_mm
    assert small_head > tall_head, "a small child's head is the larger part"


def test_prompt_boxes_scale_with_the_body_and_hold_their_structure(child):
    extents = []
    for height in (850.0, 1150.0):
        one = child(height)
        prompts = find_prompts(one.mean, SPACING_MM)
        for place_in_boxes, structure in enumerate(BOXED):
            for view in range(2):
                top, left, bottom, right = prompts.boxes[place_in_boxes, view]
                rows, columns = np.nonzero(one.masks[structure, view])
                held = (rows >= top - 2) & (rows <= bottom + 2) & (columns >= left - 2) & (columns <= right + 2)
                assert held.mean() > 0.9, (height, structure, view)
        extents.append(prompts.boxes[BOXED.index(KIDNEYS), 0, 2:] - prompts.boxes[BOXED.index(KIDNEYS), 0, :2])
    ratio = extents[1] / extents[0]
    assert 1.2 < ratio[1] < 1.5
    assert ratio[0] > 1.1


def test_mirroring_the_scan_mirrors_the_prompts(child):
    counts = np.random.default_rng(3).poisson(child().mean).astype(np.uint16)
    direct = find_prompts(counts[..., ::-1], SPACING_MM)
    turned = mirrored(find_prompts(counts, SPACING_MM), counts.shape[2])
    assert direct.body_boxes == turned.body_boxes
    np.testing.assert_allclose(direct.boxes, turned.boxes, atol=1.01)
    for view in range(2):  # left and right points change places
        ordered = [points[np.lexsort(points.T)] for points in (direct.points[view], turned.points[view])]
        np.testing.assert_allclose(*ordered, atol=1.01)


def test_jitter_keeps_boxes_upright_and_within_reach(child):
    prompts = find_prompts(child().mean, SPACING_MM)
    moved = jittered(prompts, 0.1, np.random.default_rng(0))
    extent = np.tile(prompts.boxes[..., 2:] - prompts.boxes[..., :2], 2)
    assert (np.abs(moved.boxes - prompts.boxes) <= 0.1 * extent + 1e-9).all()
    assert (moved.boxes[..., 2:] >= moved.boxes[..., :2]).all()
    assert (moved.boxes != prompts.boxes).any()
    assert (jittered(prompts, 0.0, np.random.default_rng(0)).boxes == prompts.boxes).all()


def test_prompts_of_the_posterior_view_lie_in_the_right_half(child):
    prompts = find_prompts(child().mean, SPACING_MM)
    placement = place(child().mean.shape[1:], prompts.body_boxes, 256)
    boxes, points = to_canvas(prompts, placement)
    boxes = boxes.reshape(len(BOXED), 2, 4)
    bladder = BOXED.index(BLADDER)
    middle = placement.view_size[1]
    assert boxes[bladder, 0, 2] < middle <= boxes[bladder, 1, 0]
    assert (points[0, :, 0] < middle).all()
    assert (points[1, :, 0] >= middle).all()
    assert boxes[BOXED.index(INJECTION_SITE), 0, 0] > boxes[bladder, 0, 0]


def test_the_body_is_outlined_at_any_count_level_and_an_empty_view_has_none(child):
    generator = np.random.default_rng(0)
    for level in (2.0, 8.0, 40.0):
        one = child(level=level)
        mask = body_mask(generator.poisson(one.mean[0]).astype(np.float32), SPACING_MM)
        assert dice(mask[None, None], one.masks[BODY, :1][None])[0] > 0.92
    empty = body_mask(np.zeros((64, 32), dtype=np.float32), SPACING_MM)
    assert not empty.any()
    assert body_box(empty) == Box(0, 0, 64, 32)


def test_expected_shapes_lie_where_pseudo_masks_find_the_structures(child):
    """The mask prompt is no answer, but most of it lies on the structure, and little of it in the other view."""
    one = child()
    sam, _ = build_sam(small_architecture(256))
    prompts = find_prompts(one.mean, SPACING_MM)
    placement = place(one.mean.shape[1:], prompts.body_boxes, 256)
    boxes = to_canvas(prompts, placement)[0].unflatten(0, (len(BOXED), 2))
    side = sam.prompt_encoder.mask_input_size[0]
    targets = masks_to_canvas(one.masks, placement, side)
    for structure in BOXED:
        shapes = (expected_shape(sam, structure, boxes[BOXED.index(structure)])[:, 0] + 1) / 2
        assert shapes.shape == (2, side, side)
        for view in range(2):
            weight = (shapes[view] * targets[structure, view]).sum() / targets[structure, view].sum()
            assert weight > 0.5, (structure, view)
            assert shapes[view].sum() < 12 * targets[structure, view].sum()
            assert (shapes[view] * targets[structure, 1 - view]).sum() < 0.01 * targets[structure, view].sum()
