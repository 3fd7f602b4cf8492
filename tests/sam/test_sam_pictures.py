"""Regions and prompts of pictures: four tones for any picture, one pane in colour on SAM's canvas."""

import numpy as np
import pytest
import torch
from picture_pairs import COLUMNS, ROWS, good_picture

from scintiflow.modality import BONE_SCAN, PICTURE
from scintiflow.sam import canvas
from scintiflow.sam.picture_regions import picture_prompts, picture_regions
from scintiflow.sam.prompts import BOXED, mirrored, to_canvas
from scintiflow.sam.subjects import masks_of_planes
from scintiflow.structures import BODY, BONE


def planes(seed: int, count: int = 3) -> np.ndarray:
    return np.moveaxis(good_picture(seed, count), 2, 0).astype(np.uint16)


@pytest.mark.parametrize("count", [1, 3])
def test_every_pixel_has_one_tone_and_brighter_tones_are_brighter(count):
    picture = planes(1, count)
    frame, *tones = picture_regions(picture)[:, 0]
    assert frame.all()
    np.testing.assert_array_equal(np.sum(tones, axis=0), 1)
    means = [picture.mean(axis=0)[tone].mean() for tone in tones]
    assert means == sorted(means)


@pytest.mark.parametrize("level", [0, 7, 255])
def test_a_picture_of_one_level_has_regions_and_prompts_too(level):
    flat = np.full((3, 48, 64), level, np.uint16)
    np.testing.assert_array_equal(picture_regions(flat)[1:].sum(axis=0), 1)
    assert np.isfinite(picture_prompts(flat).points).all()


def test_prompts_lie_where_they_ask():
    picture = planes(2)
    regions, prompts = picture_regions(picture)[:, 0], picture_prompts(picture)
    assert prompts.boxes.shape == (len(BOXED), 1, 4)
    np.testing.assert_array_equal(prompts.boxes[BOXED.index(BODY), 0], [0, 0, ROWS - 1, COLUMNS - 1])
    for row, column in prompts.points[0].astype(int):
        assert regions[BONE, row, column]


def test_prompts_of_a_mirrored_picture_are_mirrored_boxes():
    picture = planes(3)
    np.testing.assert_array_equal(
        mirrored(picture_prompts(picture), COLUMNS).boxes, picture_prompts(picture[..., ::-1]).boxes
    )


def test_one_pane_fills_the_canvas_in_colour():
    picture = planes(4)
    placement = canvas.place((ROWS, COLUMNS), picture_prompts(picture).body_boxes, 96)
    assert placement.used == (72, 96)
    image = canvas.draw(picture.astype(np.float32), placement, 255.0)
    expected = 255 * np.sqrt(picture / 255)  # the canvas is as large as the picture
    np.testing.assert_allclose(image.numpy(), expected, atol=1e-3)


def test_masks_come_back_from_the_canvas_to_their_place():
    picture = planes(5)
    regions = picture_regions(picture)
    placement = canvas.place((ROWS, COLUMNS), picture_prompts(picture).body_boxes, 192)
    there = canvas.masks_to_canvas(regions, placement, 192)
    back = canvas.masks_from_canvas(torch.where(there > 0.5, 20.0, -20.0), placement) > 0.5
    assert back.shape == regions.shape
    assert (back == regions).mean() > 0.97


def test_boxes_on_the_canvas_span_it():
    picture = planes(6)
    prompts = picture_prompts(picture)
    placement = canvas.place((ROWS, COLUMNS), prompts.body_boxes, 96)
    boxes, points = to_canvas(prompts, placement)
    assert boxes.shape == (len(BOXED), 4)
    assert points.shape == (1, 7, 2)
    np.testing.assert_allclose(boxes[0].numpy(), [0, 0, 95, 71], atol=1e-4)


def test_planes_share_the_regions_and_the_frame_is_certain():
    masks = np.random.default_rng(1).random((5, 1, 4, 4)).astype(np.float32)
    shared = masks_of_planes(PICTURE, masks, 3)
    assert shared.shape == (5, 3, 4, 4)
    assert (shared[BODY] == 1).all()
    for plane in range(3):
        np.testing.assert_array_equal(shared[1:, plane], masks[1:, 0])
    assert masks_of_planes(BONE_SCAN, masks, 2) is masks
