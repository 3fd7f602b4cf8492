"""The preview of a restored scan: the patient's sides, and no way to overlook that its counts contradict it."""

import numpy as np
import pytest
from PIL import Image

from scintiflow.dicom.codes import VIEW_ORIENTATION
from scintiflow.evaluation.laterality import sides, sides_of_view
from scintiflow.evaluation.panels import HEADLINE, Panel, draw_panels


def test_the_camera_in_front_has_the_right_side_at_its_left():
    assert sides_of_view("anterior") == ("R", "L")
    assert sides_of_view("posterior") == ("L", "R")
    mirrored = [-cosine for cosine in VIEW_ORIENTATION["anterior"][:3]] + list(VIEW_ORIENTATION["anterior"][3:])
    assert sides(mirrored) == ("L", "R"), "the orientation decides, not the name"


@pytest.mark.parametrize("orientation", [(), (1.0, 0.0), (0.5, 0.87, 0.0, 0.0, 0.0, -1.0)])
def test_no_side_is_claimed_that_the_object_does_not_say(orientation):
    assert sides(orientation) == ("", "")
    assert sides_of_view("view 1") == ("", "")


def drawn(path, names: list[str], warning: str = "") -> np.ndarray:
    views = [np.full((200, 80), 3.0), np.full((200, 80), 3.0)]
    draw_panels([Panel("restored", views)], names, 40.0, path, warning)
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_a_warning_stands_above_a_picture_that_stays_the_same(tmp_path):
    plain = drawn(tmp_path / "plain.png", ["anterior", "posterior"])
    warned = drawn(tmp_path / "warned.png", ["anterior", "posterior"], "DO NOT READ")
    assert warned.shape[0] == plain.shape[0] + HEADLINE
    headline = warned[:HEADLINE]
    assert (headline[..., 0] > headline[..., 2] + 80).sum() > 50, "red letters"
    assert not (plain[..., 0] > plain[..., 2] + 80).any()


def test_views_of_unknown_name_bear_no_side(tmp_path):
    known, unknown = (drawn(tmp_path / f"{name}.png", [name, name]) for name in ("anterior", "view 1"))
    edge = slice(known.shape[1] // 4, None)  # without the names, which stand at the left
    assert (known[:, edge] != unknown[:, edge]).any()
