"""Bones of the trunk and the head: skull, face, spine, ribs, sternum, clavicles, scapulae, pelvis."""

from itertools import pairwise

import numpy as np

from scintiflow.phantom.body import Limbs, skull_size
from scintiflow.phantom.cloud import AddBone, CloudBuilder, Segment
from scintiflow.phantom.growth import Build
from scintiflow.phantom.shapes import Shape, ellipsoid, offset, plate, shell, tube
from scintiflow.structures import BONE

SIDES = (-1, 1)  # the child's right, the child's left
CERVICAL, THORACIC, LUMBAR = 7, 12, 5


def add_axial_skeleton(parts: CloudBuilder, build: Build, limbs: Limbs, curve_mm: float = 0.0) -> None:
    """Add all bones of head and trunk. `curve_mm` bends the spine sideways by that much at mid-thorax."""

    def bone(shape: Shape, region: str, segment: Segment = Segment.TRUNK) -> None:
        parts.add(shape, BONE, region, segment)

    _add_head(bone, build)
    _add_spine(bone, build, curve_mm)
    _add_ribs(bone, build)
    _add_sternum(bone, build)
    _add_shoulder_girdle(bone, build, limbs)
    _add_pelvis(bone, build)


def _add_head(bone: AddBone, build: Build) -> None:
    centre, width, height, depth = skull_size(build)
    head, hot = build.head, build.uptake
    wall = 0.030 * head * float(np.interp(build.age, [0.5, 5, 16], [0.9, 0.95, 1.0]))
    face_hot = hot * float(np.interp(build.age, [0.5, 6, 16], [1.25, 1.15, 0.9]))
    bone(shell((0, centre, 0), (width, height, depth), wall, 6.3 * hot), "skull", Segment.HEAD)
    base = centre + 0.80 * height
    occiput = ((0, base - 0.02 * head, -0.48 * depth), (0.60 * width, 0.085 * head, 0.30 * depth))
    bone(ellipsoid(*occiput, 4.2 * hot), "skull", Segment.HEAD)
    bone(
        ellipsoid((0, base, 0.2 * depth), (0.5 * width, 0.055 * head, 0.4 * depth), 3.5 * hot), "skull", Segment.HEAD
    )
    bone(
        ellipsoid((0, 0.775 * head, 0.80 * depth), (0.075 * head, 0.055 * head, 0.13 * depth), 20 * face_hot),
        "face",
        Segment.HEAD,
    )
    jaw = [
        (1.00 * x * 0.70 * width, y * head, z * depth)
        for x, y, z in [(-1, 0.72, 0.05), (-0.95, 0.86, 0.25), (-0.45, 0.945, 0.72), (0.45, 0.945, 0.72),
                        (0.95, 0.86, 0.25), (1, 0.72, 0.05)]
    ]  # fmt: skip
    bone(tube(jaw, 0.024 * head, [5, 6, 13, 13, 6, 5] * np.array(face_hot)), "face", Segment.HEAD)
    for side in SIDES:
        orbit = (side * 0.135 * head, 0.655 * head, 0.80 * depth)
        bone(ellipsoid(orbit, (0.06 * head, 0.042 * head, 0.13 * depth), 14 * face_hot), "face", Segment.HEAD)
        teeth = (side * 0.10 * head, 0.84 * head, 0.74 * depth)
        bone(ellipsoid(teeth, (0.085 * head, 0.028 * head, 0.09 * depth), 9 * face_hot), "face", Segment.HEAD)


def _add_spine(bone: AddBone, build: Build, curve_mm: float) -> None:
    h, hot = build.height, build.uptake
    top, first_rib, end = 0.80 * build.head, build.trunk(-0.055), build.trunk(0.80)
    first_lumbar = build.trunk(0.545)
    edges = np.concatenate(
        [
            np.linspace(top, first_rib, CERVICAL + 1),
            np.linspace(first_rib, first_lumbar, THORACIC + 1)[1:],
            np.linspace(first_lumbar, end, LUMBAR + 1)[1:],
        ]
    )
    wide = np.interp(np.arange(24), [0, 6, 8, 18, 23], [0.0095, 0.0105, 0.009, 0.0125, 0.015]) * h * build.bone_girth
    back = np.interp(np.arange(24), [0, 7, 13, 19, 23], [-0.008, -0.022, -0.036, -0.022, -0.018]) * h * build.girth
    for i, (upper, lower) in enumerate(pairwise(edges)):
        y, half = (upper + lower) / 2, (lower - upper) / 2
        x = curve_mm * np.sin(np.pi * (y - top) / (end - top))
        segment = Segment.TRUNK
        bone(ellipsoid((x, y, back[i]), (wide[i], 0.80 * half, 1.0 * wide[i]), 10 * hot), "spine", segment)
        behind = back[i] - 1.5 * wide[i]
        bone(ellipsoid((x, y + 0.3 * half, behind), (0.45 * wide[i], 0.75 * half, 0.7 * wide[i]), 13 * hot), "spine")
        arms = [(x - 1.75 * wide[i], y, behind + 0.5 * wide[i]), (x + 1.75 * wide[i], y, behind + 0.5 * wide[i])]
        bone(tube(arms, 0.42 * half, 9 * hot), "spine")


def _add_ribs(bone: AddBone, build: Build) -> None:
    h, hot = build.height, build.uptake
    wide = np.interp(np.arange(12), [0, 1, 2, 4, 6, 7, 9, 10, 11], [0.4, 0.58, 0.72, 0.9, 0.99, 1, 0.96, 0.9, 0.74])
    end_angle = np.interp(np.arange(12), [0, 5, 7, 9, 10, 11], [155, 146, 138, 122, 88, 62])
    drop = np.interp(np.arange(12), [0, 5, 9, 10, 11], [0.075, 0.15, 0.175, 0.12, 0.09])
    ends_hot = float(np.interp(build.age, [0.5, 4, 12, 16], [1.0, 1.2, 1.1, 0.4])) * (0.4 + 0.6 * build.plates)
    stout = 0.55 + 0.45 * build.girth
    for i in range(12):
        reach, thick = 0.0855 * h * stout * wide[i], (0.050 * h * stout) * (0.5 + 0.5 * wide[i])
        angle = np.radians(np.linspace(8, end_angle[i], 30))
        share = np.linspace(0, 1, 30)
        y = build.trunk(-0.03 + 0.05 * i + drop[i] * share**1.5 - 0.012 * np.sin(np.pi * np.minimum(share * 2, 1)))
        density = hot * np.interp(share, [0, 0.08, 0.25, 0.75, 1], [15, 14, 12, 10.5, 10.5])
        radius = 0.0034 * h * build.bone_girth
        for side in SIDES:
            path = np.stack([side * reach * np.sin(angle), y, 0.002 * h - thick * np.cos(angle)], axis=1)
            bone(tube(path, radius, density), "rib")
            if i < 10:
                bone(ellipsoid(path[-1], np.full(3, 1.45 * radius), 34 * hot * ends_hot), "rib")


def _add_sternum(bone: AddBone, build: Build) -> None:
    h, hot = build.height, build.uptake
    z = 0.050 * h * (0.55 + 0.45 * build.girth)
    growing = 0.5 + 0.5 * build.plates
    bone(ellipsoid((0, build.trunk(0.055), z), (0.017 * h, 0.018 * h, 0.006 * h), 17 * hot), "sternum")
    for k, share in enumerate((0.16, 0.22, 0.28, 0.34)):
        size = (0.009 - 0.0006 * k) * h
        bone(
            ellipsoid((0, build.trunk(share), z + 0.002 * h), (size, size, 0.0055 * h), 15 * hot * growing), "sternum"
        )
    spine = [(0, build.trunk(0.05), z), (0, build.trunk(0.37), z)]
    bone(tube(spine, 0.0055 * h, 6 * hot), "sternum")
    bone(tube([(0, build.trunk(0.37), z), (0, build.trunk(0.42), z)], 0.003 * h, 5 * hot), "sternum")


def _add_shoulder_girdle(bone: AddBone, build: Build, limbs: Limbs) -> None:
    h, hot = build.height, build.uptake
    joint_x, joint_y = limbs.shoulder
    for side in SIDES:
        clavicle = np.array(
            [
                (0.014 * h, build.trunk(0.015), 0.044 * h),
                (0.040 * h, build.trunk(0.005), 0.047 * h),
                (0.072 * h, build.trunk(-0.035), 0.028 * h),
                (joint_x, joint_y - 0.030 * h, 0.008 * h),
            ]
        ) * [side, 1, 1]
        bone(tube(clavicle, 0.0042 * h * build.bone_girth, np.array([20, 13, 12, 16]) * hot), "clavicle")
        bone(ellipsoid(clavicle[0], np.full(3, 0.0075 * h), 17 * hot), "clavicle")
        _add_scapula(bone, build, side, joint_x, joint_y)


def _add_scapula(bone: AddBone, build: Build, side: int, joint_x: float, joint_y: float) -> None:
    h, hot = build.height, build.uptake
    behind = -0.046 * h * (0.5 + 0.5 * build.girth)
    glenoid = np.array([side * (joint_x - 0.012 * h), joint_y, -0.012 * h])
    upper = np.array([side * 0.053 * h, build.trunk(0.02), behind])
    tip = np.array([side * 0.073 * h, build.trunk(0.37), behind])
    inner = np.array([side * 0.047 * h, build.trunk(0.13), behind])
    acromion = np.array([side * joint_x, joint_y - 0.026 * h, -0.012 * h])
    radius = 0.0034 * h * build.bone_girth
    bone(plate([upper, inner, tip], [glenoid, glenoid, tip], 0.0022 * h, 8 * hot), "scapula")
    bone(tube([upper, inner, tip], radius, 12 * hot), "scapula")
    bone(tube([tip, glenoid], radius * 1.1, 12 * hot), "scapula")
    bone(tube([inner + offset(0, -0.01 * h, 0), acromion], radius * 1.1, 13 * hot), "scapula")
    bone(ellipsoid(acromion, np.full(3, 0.008 * h), 11 * hot), "scapula")
    bone(ellipsoid(glenoid, (0.007 * h, 0.012 * h, 0.009 * h), 11 * hot), "scapula")
    bone(ellipsoid(tip, np.full(3, 0.006 * h), 18 * hot * (0.5 + 0.5 * build.plates)), "scapula")


def _add_pelvis(bone: AddBone, build: Build) -> None:
    h, hot = build.height, build.uptake
    growing = 0.35 + 0.65 * build.plates
    deep = 0.5 + 0.5 * build.girth
    sacrum_z = -0.034 * h * deep
    top, bottom = build.trunk(0.80), build.trunk(1.0)
    left = [
        (0.026 * h, top, sacrum_z),
        (0.022 * h, build.trunk(0.9), sacrum_z - 0.004 * h),
        (0.006 * h, bottom, sacrum_z),
    ]
    right = [(-x, y, z) for x, y, z in left]
    bone(plate(left, right, 0.014 * h, 10 * hot), "sacrum")
    bone(ellipsoid((0, build.trunk(0.85), sacrum_z), (0.014 * h, 0.028 * h, 0.010 * h), 9 * hot), "sacrum")
    bone(tube([(0, bottom, sacrum_z), (0, bottom + 0.015 * h, sacrum_z + 0.008 * h)], 0.004 * h, 5 * hot), "sacrum")
    for side in SIDES:
        _add_hip_bone(bone, build, np.array([side, 1, 1]), sacrum_z, growing)


def _add_hip_bone(bone: AddBone, build: Build, mirror: np.ndarray, sacrum_z: float, growing: float) -> None:
    h, hot, hip_y = build.height, build.uptake, build.hip_y
    deep = 0.5 + 0.5 * build.girth
    radius = 0.0052 * h * build.bone_girth
    crest = mirror * np.array(
        [
            (0.028 * h, build.trunk(0.83), sacrum_z),
            (0.038 * h, build.trunk(0.735), sacrum_z + 0.002 * h),
            (0.058 * h, build.trunk(0.700), -0.020 * h * deep),
            (0.077 * h, build.trunk(0.735), 0.004 * h),
            (0.085 * h, build.trunk(0.81), 0.026 * h * deep),
            (0.077 * h, build.trunk(0.895), 0.032 * h * deep),
        ]
    )
    inner = mirror * np.array(
        [
            (0.028 * h, build.trunk(0.88), sacrum_z + 0.002 * h),
            (0.031 * h, build.trunk(0.89), sacrum_z + 0.010 * h),
            (0.037 * h, build.trunk(0.90), -0.010 * h),
            (0.044 * h, build.trunk(0.915), 0.000),
            (0.052 * h, build.trunk(0.93), 0.006 * h),
            (0.060 * h, build.trunk(0.94), 0.010 * h),
        ]
    )
    bone(plate(crest, inner, 0.0056 * h, 10 * hot), "pelvis")
    bone(tube(crest, radius, hot * np.array([18, 18, 16, 12, 12, 13]) * (0.6 + 0.6 * growing)), "pelvis")
    joint = mirror * np.array([(0.030 * h, build.trunk(0.81), sacrum_z), (0.027 * h, build.trunk(0.93), sacrum_z)])
    bone(tube(joint, 0.0070 * h, 26 * hot), "pelvis")
    socket = mirror * np.array((0.050 * h, hip_y - 0.010 * h, 0.002 * h))
    bone(ellipsoid(socket, (0.019 * h, 0.017 * h, 0.016 * h), 8.0 * hot * (0.4 + 0.8 * growing)), "pelvis")
    bone(tube([inner[4], socket], 0.013 * h, 6 * hot), "pelvis")
    pubis = mirror * np.array((0.007 * h, build.trunk(1.055), 0.030 * h * deep))
    ischium = mirror * np.array((0.034 * h, build.trunk(1.165), -0.022 * h * deep))
    bone(
        tube([socket, mirror * np.array((0.026 * h, build.trunk(1.02), 0.022 * h * deep)), pubis], radius, 11 * hot),
        "pelvis",
    )
    bone(
        tube(
            [socket, mirror * np.array((0.045 * h, build.trunk(1.1), -0.022 * h * deep)), ischium],
            1.5 * radius,
            11 * hot,
        ),
        "pelvis",
    )
    bone(tube([pubis, ischium], 0.9 * radius, hot * np.array([11, 12])), "pelvis")
