"""The child itself: growth, growth plates, solids, what the camera makes of them."""

import numpy as np
import pytest

from scintiflow.phantom.anatomy import draw_anatomy, median_skeleton
from scintiflow.phantom.camera import COLUMNS, MU_PER_MM, ROWS, SPACING_MM, blur_sigma_mm, expose, pixel_of, surface
from scintiflow.phantom.cloud import REGIONS, Cloud, Segment
from scintiflow.phantom.growth import head_share, median_build, median_height_mm, median_weight_kg
from scintiflow.phantom.lesions import spot
from scintiflow.phantom.pose import Pose, draw_pose, kept_inside, lie_down, moved
from scintiflow.phantom.shapes import ellipsoid, plate, shell, tube
from scintiflow.structures import BONE

AGES = np.linspace(0.5, 16, 32)
STILL = Pose(centre=(0.0, 1150.0), turn=0.0, bends=(0.0,) * len(Segment))
EVEN = np.ones((ROWS, COLUMNS))


def test_height_and_weight_grow_and_the_head_share_falls():
    heights, weights = [median_height_mm(age) for age in AGES], [median_weight_kg(age) for age in AGES]
    assert (np.diff(heights) > 0).all()
    assert (np.diff(weights) > 0).all()
    assert (np.diff([head_share(age) for age in AGES]) < 0).all()
    assert heights[0] == pytest.approx(650, abs=25)
    assert heights[-1] == pytest.approx(1720, abs=25)


def test_landmarks_follow_each_other_from_head_to_foot():
    for age in AGES:
        build = median_build(age)
        assert 0 < build.head < build.notch_y < build.hip_y < build.knee_y < build.ankle_y < build.height


def test_projected_length_is_the_childs_height():
    lengths = []
    for age in (0.5, 5.0, 16.0):
        anatomy = median_skeleton(age)
        _, columns = lie_down(anatomy, STILL)
        rows = np.flatnonzero(surface(columns).inside.any(axis=1))
        lengths.append(len(rows) * SPACING_MM)
        assert lengths[-1] == pytest.approx(anatomy.build.height, rel=0.04)
    assert lengths == sorted(lengths)


def test_bones_lie_inside_the_body():
    for age in (0.5, 4.0, 9.0, 16.0):
        anatomy = median_skeleton(age)
        cloud, columns = lie_down(anatomy, STILL)
        skin = surface(columns)
        row, column = np.rint(pixel_of(cloud.position, 0)).astype(int).T
        front, back, z = skin.front[row, column], skin.back[row, column], cloud.position[:, 2]
        beyond = ~((z < front + 3) & (z > back - 3))
        outside = {name: float(cloud.volume[beyond & (cloud.region == i)].sum()) for i, name in enumerate(REGIONS)}
        assert sum(outside.values()) < 0.02 * cloud.volume.sum(), outside


def test_skeleton_is_symmetric():
    anatomy = median_skeleton(8.0)
    cloud, columns = lie_down(anatomy, STILL)
    seen = expose(cloud, columns, EVEN).layers[BONE, 0]
    assert np.abs(seen - seen[:, ::-1]).sum() < 0.03 * seen.sum()


@pytest.mark.parametrize("age", [1.0, 6.0, 12.0])
def test_growth_plate_at_the_knee_outshines_the_shaft(age):
    anatomy = median_skeleton(age)
    shaft, knee = _femur_profile(anatomy)
    assert knee > 3 * shaft


def test_growth_plates_fade_in_the_oldest():
    contrast = {age: np.divide(*_femur_profile(median_skeleton(age))[::-1]) for age in (11.0, 15.0, 16.0)}
    assert contrast[11.0] > contrast[15.0] > contrast[16.0]


def test_every_pose_keeps_the_child_in_the_picture():
    for seed in range(6):
        generator = np.random.default_rng(seed)
        anatomy = draw_anatomy(16.0, generator)
        width = COLUMNS * SPACING_MM
        first = kept_inside(draw_pose(anatomy, ROWS * SPACING_MM, generator), anatomy, width)
        for pose in (first, kept_inside(moved(first, generator), anatomy, width)):
            inside = surface(lie_down(anatomy, pose)[1]).inside
            assert not inside[:, :2].any()
            assert not inside[:, -2:].any()
            assert not inside[[0, -1]].any()


def test_movement_is_small_and_rigid():
    anatomy = median_skeleton(10.0)
    for seed in range(5):
        generator = np.random.default_rng(seed)
        first = draw_pose(anatomy, ROWS * SPACING_MM, generator)
        second = moved(first, generator)
        before, after = (lie_down(anatomy, pose)[0] for pose in (first, second))
        assert np.hypot(*np.subtract(second.centre, first.centre)) <= 10.0
        assert abs(second.turn - first.turn) < np.radians(1.5)
        arm = before.segment == Segment.ARM_LEFT
        some = np.flatnonzero(arm)[::500]
        apart = [np.linalg.norm(c.position[some[:-1]] - c.position[some[1:]], axis=1) for c in (before, after)]
        assert np.allclose(*apart)


def test_volumes_of_solids_are_those_of_geometry():
    assert ellipsoid((0, 0, 0), (30, 20, 10)).volume.sum() == pytest.approx(4 / 3 * np.pi * 6000)
    assert tube([(0, 0, 0), (0, 200, 0)], 8.0).volume.sum() == pytest.approx(np.pi * 64 * 200, rel=1e-6)
    assert shell((0, 0, 0), (70, 70, 70), 3.0).volume.sum() == pytest.approx(4 * np.pi * 4900 * 3, rel=1e-3)
    flat = plate([(0, 0, 0), (0, 50, 0)], [(40, 0, 0), (40, 50, 0)], 4.0)
    assert flat.volume.sum() == pytest.approx(50 * 40 * 4, rel=1e-6)


def test_points_of_an_ellipsoid_have_its_moments():
    solid = ellipsoid((5, 6, 7), (30, 20, 10))
    assert solid.position.mean(axis=0) == pytest.approx([5, 6, 7], abs=0.4)
    assert solid.position.std(axis=0) == pytest.approx(np.array([30, 20, 10]) / np.sqrt(5), rel=0.02)


def test_camera_attenuates_by_depth_and_blurs_by_distance():
    columns = lie_down(median_skeleton(10.0), STILL)[1]
    skin = surface(columns)
    place = np.array([0.0, 1000.0, 20.0])  # in the trunk
    row, column = np.rint(pixel_of(place[None], 0)[0]).astype(int)
    solid = ellipsoid(place, (1.0, 1.0, 1.0), 1000.0)
    count = len(solid.volume)
    labels = np.full(count, BONE, dtype=np.uint8)
    cloud = Cloud(solid.position, solid.volume, solid.activity, labels, labels, np.zeros(count, dtype=np.uint8))
    layers = expose(cloud, columns, EVEN).layers[BONE]
    depths = skin.front[row, column] - 20.0, 20.0 - skin.back[row, column]
    for view, depth in enumerate(depths):
        assert layers[view].sum() == pytest.approx(solid.activity.sum() * np.exp(-MU_PER_MM * depth), rel=0.03)
    width = [_spread(view) for view in layers]
    assert width[1] > width[0]  # farther from the posterior camera
    assert 8 < 2.355 * width[0] < 12.5
    # The closed form used for lesions agrees with the cloud of points.
    picture, sigmas = spot(place, 0.5, skin)
    for view in range(2):
        assert picture[view].sum() * solid.activity.sum() == pytest.approx(layers[view].sum(), rel=0.03)
        assert sigmas[view] == pytest.approx(width[view], rel=0.06)


def test_resolution_is_8_to_12_mm_over_the_depth_of_a_child():
    assert 7.5 < 2.355 * blur_sigma_mm(30.0) < 8.5
    assert 11 < 2.355 * blur_sigma_mm(220.0) < 12.5


def _femur_profile(anatomy) -> tuple[float, float]:
    """Bone counts per pixel at mid-shaft and at the distal growth plate, median over the bone's width."""
    cloud, columns = lie_down(anatomy, STILL)
    seen = expose(cloud, columns, EVEN).layers[BONE, 0]
    femur = cloud.position[(cloud.region == REGIONS.index("femur")) & (cloud.segment == Segment.LEG_LEFT)]
    knee_y = STILL.centre[1] + anatomy.build.knee_y - anatomy.build.hip_y - 0.0165 * anatomy.build.height
    middle_y = (femur[:, 1].min() + knee_y) / 2
    peaks = []
    for y in (middle_y, knee_y):
        row = int(pixel_of(np.array([[0, y, 0]]), 0)[0, 0])
        peaks.append(float(seen[row - 2 : row + 3, COLUMNS // 2 :].max()))
    return peaks[0], peaks[1]


def _spread(picture: np.ndarray) -> float:
    """Standard deviation in mm of a spot along rows."""
    profile = picture.sum(axis=1, dtype=np.float64)
    at = np.arange(len(profile)) * SPACING_MM
    mean = np.average(at, weights=profile)
    return float(np.sqrt(np.average((at - mean) ** 2, weights=profile)))
