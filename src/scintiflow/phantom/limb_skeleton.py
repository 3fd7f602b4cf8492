"""Bones of arms and legs: shafts that flare towards their growth plates, hands and feet."""

import numpy as np
from numpy.typing import ArrayLike

from scintiflow.phantom.body import SIDES, Limbs
from scintiflow.phantom.cloud import AddBone, CloudBuilder, Segment
from scintiflow.phantom.growth import Build
from scintiflow.phantom.shapes import Shape, ellipsoid, offset, tube
from scintiflow.structures import BONE

SHAFT_DENSITY, FLARE_DENSITY, PLATE_DENSITY = 7.0, 7.0, 48.0


def add_limb_skeleton(parts: CloudBuilder, build: Build, limbs: Limbs) -> None:
    """Add the bones of both arms and both legs."""

    def bone(shape: Shape, region: str, segment: Segment) -> None:
        parts.add(shape, BONE, region, segment)

    for side, arm, leg in SIDES:
        _add_arm(bone, build, limbs, side, arm)
        _add_hand(bone, build, limbs, side, arm)
        _add_thigh(bone, build, limbs, side, leg)
        _add_lower_leg(bone, build, limbs, side, leg)
        _add_foot(bone, build, limbs, side, leg)


def long_bone(
    start: ArrayLike, end: ArrayLike, start_radius: float, middle_radius: float, end_radius: float
) -> Shape:
    """A shaft that flares at both ends; density falls from the ends to the compact middle."""
    first, last = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    share = np.array([0, 0.06, 0.16, 0.3, 0.7, 0.84, 0.94, 1])
    flares = [0.45 * wide + 0.55 * middle_radius for wide in (start_radius, end_radius)]
    radius = [start_radius, 0.9 * start_radius, flares[0], middle_radius,
              middle_radius, flares[1], 0.9 * end_radius, end_radius]  # fmt: skip
    density = [FLARE_DENSITY, FLARE_DENSITY, 6.0, SHAFT_DENSITY, SHAFT_DENSITY, 6.0, FLARE_DENSITY, FLARE_DENSITY]
    return tube(first + share[:, None] * (last - first), radius, density)


def growth_plate(build: Build, centre: ArrayLike, radius: float, heat: float = 1.0, tilt: float = 0.0) -> Shape:
    """The disc of growing cartilage and new bone between shaft and epiphysis: hot until it closes."""
    half_thickness = float(np.clip(0.0023 * build.height, 1.6, 3.4))
    density = (5.5 + PLATE_DENSITY * build.plates * heat) * build.uptake
    return ellipsoid(centre, (1.12 * radius, half_thickness, 0.95 * radius), density, tilt)


def _uptake(shape: Shape, build: Build, factor: float = 1.0) -> Shape:
    return Shape(shape.position, shape.volume, shape.activity * build.uptake * factor)


def _point(side: int, joint: tuple[float, float], z: float, dx: float = 0.0, dy: float = 0.0) -> np.ndarray:
    return np.array([side * (joint[0] + dx), joint[1] + dy, z])


def _add_arm(bone: AddBone, build: Build, limbs: Limbs, side: int, segment: Segment) -> None:
    h, thick = build.height, build.bone_girth
    head = _point(side, limbs.shoulder, -0.004 * h)
    elbow = _point(side, limbs.elbow, -0.004 * h)
    bone(_uptake(ellipsoid(head, (0.0135 * h, 0.0135 * h, 0.013 * h), 8), build), "humerus", segment)
    bone(growth_plate(build, head + offset(0, 0.013 * h, 0), 0.0115 * h, 0.75), "humerus", segment)
    upper = head + offset(0, 0.017 * h, 0)
    lower = elbow - offset(0, 0.012 * h, 0)
    bone(
        _uptake(long_bone(upper, lower, 0.0105 * h * thick, 0.0060 * h * thick, 0.0095 * h * thick), build),
        "humerus",
        segment,
    )
    bone(
        _uptake(ellipsoid(elbow - offset(0, 0.006 * h, 0), (0.014 * h, 0.006 * h, 0.008 * h), 9), build),
        "humerus",
        segment,
    )
    bone(growth_plate(build, elbow - offset(0, 0.002 * h, 0), 0.010 * h, 0.35), "humerus", segment)
    wrist = _point(side, limbs.wrist, 0.0)
    for away, thickness in ((0.0065, 1.0), (-0.0060, 0.8)):  # radius towards the thumb, ulna
        shift = np.array([side * away * h, 0, 0])
        shaft = long_bone(
            elbow + shift + offset(0, 0.006 * h, 0),
            wrist + shift - offset(0, 0.010 * h, 0),
            0.0062 * h * thick, 0.0040 * h * thick, 0.0068 * h * thick * thickness,
        )  # fmt: skip
        bone(_uptake(shaft, build), "forearm", segment)
        bone(
            growth_plate(build, wrist + shift - offset(0, 0.006 * h, 0), 0.0066 * h * thickness, 0.85),
            "forearm",
            segment,
        )


def _add_hand(bone: AddBone, build: Build, limbs: Limbs, side: int, segment: Segment) -> None:
    h = build.height
    wrist = _point(side, limbs.wrist, 0.0)
    tip = _point(side, limbs.finger_tip, 0.0)
    along = tip - wrist
    formed = float(np.interp(build.age, [0.5, 3, 10], [0.3, 0.7, 1.0]))  # carpal bones ossify late
    bone(
        _uptake(ellipsoid(wrist + 0.10 * along, (0.011 * h, 0.008 * h, 0.006 * h), 8 * formed), build),
        "hand",
        segment,
    )
    for finger in np.linspace(-1, 1, 4):
        knuckle = wrist + 0.50 * along + offset(finger * 0.011 * h, 0, 0)
        end = wrist + (0.97 - 0.07 * abs(finger)) * along + offset(finger * 0.013 * h, 0, 0)
        start = wrist + 0.2 * along + offset(finger * 0.007 * h, 0, 0)
        bone(_uptake(tube([start, knuckle, end], 0.0028 * h, [5, 7, 4]), build), "hand", segment)
    thumb = [wrist + offset(side * 0.009 * h, 0.008 * h, 0), wrist + 0.52 * along + offset(side * 0.022 * h, 0, 0)]
    bone(_uptake(tube(thumb, 0.0028 * h, 5), build), "hand", segment)


def _add_thigh(bone: AddBone, build: Build, limbs: Limbs, side: int, segment: Segment) -> None:
    h, thick = build.height, build.bone_girth
    head = _point(side, limbs.hip, 0.0, dx=0.004 * h)
    trochanter = _point(side, limbs.hip, -0.006 * h, dx=0.038 * h, dy=0.026 * h)
    knee = _point(side, limbs.knee, 0.0)
    bone(_uptake(ellipsoid(head, np.full(3, 0.0135 * h), 7.5), build), "femur", segment)
    lean = side * np.radians(38)
    bone(
        growth_plate(build, head + offset(side * 0.009 * h, 0.006 * h, 0), 0.0125 * h, 0.55, -lean), "femur", segment
    )
    neck_end = trochanter + offset(-side * 0.006 * h, 0.006 * h, 0.004 * h)
    bone(_uptake(tube([head, neck_end], 0.0095 * h * thick, 6.5), build), "femur", segment)
    apophysis = 15 + 32 * build.plates
    bone(_uptake(ellipsoid(trochanter, (0.0085 * h, 0.0105 * h, 0.009 * h), apophysis), build), "femur", segment)
    top = trochanter + offset(-side * 0.007 * h, 0.012 * h, 0.002 * h)
    bottom = knee - offset(0, 0.019 * h, 0)
    bone(_uptake(long_bone(top, bottom, 0.0110 * h * thick, 0.0078 * h * thick, 0.0185 * h), build), "femur", segment)
    bone(growth_plate(build, knee - offset(0, 0.0165 * h, 0), 0.0190 * h, 1.15), "femur", segment)
    bone(
        _uptake(ellipsoid(knee - offset(0, 0.0085 * h, 0), (0.0200 * h, 0.0070 * h, 0.016 * h), 9), build),
        "femur",
        segment,
    )
    kneecap = float(np.interp(build.age, [3, 6], [0, 1]))
    if kneecap > 0:
        patella = knee + offset(0, -0.014 * h, 0.022 * h)
        bone(_uptake(ellipsoid(patella, (0.010 * h, 0.011 * h, 0.004 * h), 8 * kneecap), build), "femur", segment)


def _add_lower_leg(bone: AddBone, build: Build, limbs: Limbs, side: int, segment: Segment) -> None:
    h, thick = build.height, build.bone_girth
    knee = _point(side, limbs.knee, 0.0)
    ankle = _point(side, limbs.ankle, -0.004 * h)
    bone(
        _uptake(ellipsoid(knee + offset(0, 0.0065 * h, 0), (0.0190 * h, 0.0055 * h, 0.014 * h), 8), build),
        "tibia",
        segment,
    )
    bone(growth_plate(build, knee + offset(0, 0.0130 * h, 0), 0.0175 * h, 1.0), "tibia", segment)
    shaft = long_bone(
        knee + offset(0, 0.0155 * h, 0), ankle - offset(0, 0.016 * h, 0), 0.0165 * h, 0.0074 * h * thick, 0.0100 * h
    )
    bone(_uptake(shaft, build), "tibia", segment)
    bone(growth_plate(build, ankle - offset(0, 0.0135 * h, 0), 0.0112 * h, 0.75), "tibia", segment)
    bone(
        _uptake(ellipsoid(ankle - offset(0, 0.006 * h, 0), (0.0115 * h, 0.0055 * h, 0.010 * h), 8), build),
        "tibia",
        segment,
    )
    head = knee + offset(side * 0.019 * h, 0.024 * h, -0.008 * h)
    tip = ankle + offset(side * 0.014 * h, -0.004 * h, -0.004 * h)
    bone(_uptake(long_bone(head, tip, 0.0052 * h, 0.0032 * h * thick, 0.0052 * h), build), "tibia", segment)
    bone(growth_plate(build, tip - [0, 0.005 * h, 0], 0.0056 * h, 0.7), "tibia", segment)


def _add_foot(bone: AddBone, build: Build, limbs: Limbs, side: int, segment: Segment) -> None:
    h = build.height
    ankle = _point(side, limbs.ankle, 0.0)
    toes = _point(side, limbs.toes, 0.045 * h)
    heel = ankle + offset(0, 0.022 * h, -0.014 * h)
    bone(
        _uptake(ellipsoid(ankle + offset(0, 0.007 * h, 0.002 * h), (0.012 * h, 0.008 * h, 0.013 * h), 8), build),
        "foot",
        segment,
    )
    bone(_uptake(ellipsoid(heel, (0.0105 * h, 0.0155 * h, 0.012 * h), 9), build), "foot", segment)
    rim = 9 + 14 * build.plates
    bone(
        _uptake(ellipsoid(heel + offset(0, 0.008 * h, -0.004 * h), (0.0085 * h, 0.006 * h, 0.007 * h), rim), build),
        "foot",
        segment,
    )
    middle = ankle + 0.45 * (toes - ankle)
    bone(_uptake(ellipsoid(middle, (0.012 * h, 0.009 * h, 0.010 * h), 7), build), "foot", segment)
    for ray in np.linspace(-1, 1, 5):
        start = middle + offset(ray * 0.008 * h, 0, 0)
        end = toes + offset(ray * 0.014 * h, -0.004 * h * ray**2, 0)
        bone(_uptake(tube([start, end], 0.0030 * h, [5, 6]), build), "foot", segment)
