"""The outline of the body: upright columns of elliptic cross-section, from which thickness and depth follow.

The columns are soft tissue (muscle, blood, fluid): a weak, even activity, and the matter that attenuates.
"""

from dataclasses import dataclass

import numpy as np

from scintiflow.phantom.cloud import Segment
from scintiflow.phantom.growth import Build

SIDES = ((-1, Segment.ARM_RIGHT, Segment.LEG_RIGHT), (1, Segment.ARM_LEFT, Segment.LEG_LEFT))


@dataclass(frozen=True)
class Column:
    """One upright column: elliptic cross-sections along y. All arrays `[section]`, mm.

    `half_width` lies along x, `half_depth` along z, `activity` is density relative to soft tissue.
    """

    segment: Segment
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    half_width: np.ndarray
    half_depth: np.ndarray
    activity: float


@dataclass(frozen=True)
class Limbs:
    """Where the joints of arms and legs are; x for the left side, mm."""

    shoulder: tuple[float, float]
    elbow: tuple[float, float]
    wrist: tuple[float, float]
    finger_tip: tuple[float, float]
    hip: tuple[float, float]
    knee: tuple[float, float]
    ankle: tuple[float, float]
    toes: tuple[float, float]


def place_limbs(build: Build, arms_out: float = 0.0, legs_out: float = 0.0, widest: float = 242.0) -> Limbs:
    """Joints of a lying child, arms beside the trunk. `arms_out` and `legs_out` (shares of height) spread them.

    No joint comes farther than `widest` mm from the midline, so that hands stay in the picture.
    """
    h = build.height
    shoulder_y = build.notch_y + 0.024 * h
    pelvis = (1 + 0.5 * (build.girth - 1)) * h  # a stout child's arms and legs lie farther apart

    def arm(x_share: float, y_share: float) -> tuple[float, float]:
        return min(x_share * pelvis, widest), shoulder_y + y_share * h

    return Limbs(
        shoulder=(0.103 * h, shoulder_y),
        elbow=arm(0.128 + 0.5 * arms_out, 0.172),
        wrist=arm(0.140 + arms_out, 0.312),
        finger_tip=arm(0.143 + 1.1 * arms_out, 0.405),
        hip=(0.050 * h, build.hip_y),
        knee=(0.066 * h + 0.5 * legs_out * h, build.knee_y),
        ankle=(0.066 * h + legs_out * h, build.ankle_y),
        toes=(0.084 * h + 1.2 * legs_out * h, 1.002 * h),
    )


def outline(build: Build, limbs: Limbs) -> tuple[Column, ...]:
    """All columns of a child."""
    columns = [_head(build), _neck(build), _trunk(build)]
    for side, arm, leg in SIDES:
        columns += [_arm(build, limbs, side, arm), _leg(build, limbs, side, leg), _foot(build, limbs, side, leg)]
    return tuple(columns)


def skull_size(build: Build) -> tuple[float, float, float, float]:
    """Centre y and semi-axes (x, y, z) of the brain case, mm."""
    width = float(np.interp(build.age, [0.5, 5, 16], [0.355, 0.350, 0.325])) * build.head
    return 0.400 * build.head, width, 0.395 * build.head, 1.26 * width


def _head(build: Build) -> Column:
    centre, width, height, depth = skull_size(build)
    top, chin = centre - height - 5, build.head + 4
    y = np.linspace(top, chin, 40)
    vault = np.sqrt(np.clip(1 - ((y - centre) / (height + 5)) ** 2, 0, 1))
    jaw = np.sqrt(np.clip(1 - ((y - 0.70 * build.head) / (chin - 0.70 * build.head)) ** 2, 0, 1)) * 0.84
    return Column(
        Segment.HEAD,
        x=np.zeros_like(y),
        y=y,
        z=np.where(y > centre, 0.012 * build.height * (y - centre) / height, 0.0),
        half_width=np.maximum(vault, jaw) * (width + 5),
        half_depth=np.maximum(vault, jaw * 1.15) * (depth + 4),
        activity=0.55,
    )


def _neck(build: Build) -> Column:
    y = np.linspace(0.72 * build.head, build.notch_y + 0.03 * build.height, 8)
    return _column(build, Segment.TRUNK, y, np.zeros(8), [0.031, 0.036], [0.036, 0.040], 1.0, z=-0.006)


def _trunk(build: Build) -> Column:
    share = np.array([-0.12, -0.05, 0.04, 0.16, 0.35, 0.55, 0.72, 0.86, 1.0, 1.08, 1.13, 1.16])
    half_width = [0.050, 0.108, 0.115, 0.108, 0.098, 0.088, 0.088, 0.098, 0.100, 0.090, 0.070, 0.010]
    half_depth = [0.044, 0.057, 0.061, 0.063, 0.068, 0.062, 0.058, 0.060, 0.058, 0.052, 0.044, 0.010]
    y = np.interp(np.linspace(0, 11, 60), np.arange(12), build.trunk(0) + share * (build.hip_y - build.notch_y))
    return _column(build, Segment.TRUNK, y, np.zeros(60), half_width, half_depth, 1.0)


def _arm(build: Build, limbs: Limbs, side: int, segment: Segment) -> Column:
    joints = np.array([limbs.shoulder, limbs.elbow, limbs.wrist, limbs.finger_tip])
    at = np.array([-0.15, 0.0, 0.2, 0.5, 1.0, 1.3, 2.0, 2.4, 2.9, 3.0])
    x = side * np.interp(at, np.arange(4), joints[:, 0])
    y = np.interp(at, np.arange(4), joints[:, 1])
    y[0] -= 0.15 * (joints[1, 1] - joints[0, 1])
    half_width = [0.008, 0.026, 0.029, 0.027, 0.022, 0.024, 0.015, 0.020, 0.014, 0.004]
    half_depth = [0.008, 0.028, 0.030, 0.028, 0.022, 0.022, 0.013, 0.011, 0.007, 0.004]
    return _column(build, segment, y, x, half_width, half_depth, 0.9)


def _leg(build: Build, limbs: Limbs, side: int, segment: Segment) -> Column:
    joints = np.array([limbs.hip, limbs.knee, limbs.ankle])
    at = np.array([-0.12, 0.0, 0.15, 0.5, 0.9, 1.0, 1.3, 1.6, 1.95, 2.0])
    x = side * (np.interp(at, np.arange(3), joints[:, 0]) + 0.006 * build.height)
    y = np.interp(at, np.arange(3), joints[:, 1])
    y[0] -= 0.12 * (joints[1, 1] - joints[0, 1])
    half_width = [0.020, 0.046, 0.049, 0.043, 0.034, 0.033, 0.034, 0.027, 0.020, 0.021]
    half_depth = [0.020, 0.052, 0.054, 0.046, 0.037, 0.036, 0.038, 0.029, 0.022, 0.024]
    return _column(build, segment, y, x, half_width, half_depth, 0.9)


def _foot(build: Build, limbs: Limbs, side: int, segment: Segment) -> Column:
    at = np.array([0.0, 0.35, 0.8, 1.0])
    x = side * np.interp(at, [0, 1], [limbs.ankle[0], limbs.toes[0]])
    y = np.interp(at, [0, 1], [limbs.ankle[1], limbs.toes[1]])
    z = np.array([0.0, 0.004, 0.014, 0.030])
    return _column(build, segment, y, x, [0.022, 0.027, 0.027, 0.014], [0.032, 0.040, 0.044, 0.032], 0.9, z=z)


def _column(
    build: Build,
    segment: Segment,
    y: np.ndarray,
    x: np.ndarray,
    half_width: list[float],
    half_depth: list[float],
    activity: float,
    z: np.ndarray | float = 0.0,
) -> Column:
    """Widths and depths are shares of height for a slim adult, given at evenly spaced places along the column."""
    places = np.linspace(0, 1, len(half_width))
    at = np.linspace(0, 1, len(y))
    scale = build.height * build.girth
    return Column(
        segment,
        x=x,
        y=y,
        z=np.broadcast_to(z, y.shape) * build.height,
        half_width=np.interp(at, places, half_width) * scale,
        half_depth=np.interp(at, places, half_depth) * scale,
        activity=activity,
    )
