"""How a child lies: where in the picture, how turned, and how head, arms and legs are bent against the trunk.

A pose is rigid in the coronal plane for each segment. Two poses of one child differ as much as a
child moves between two scans.
"""

from dataclasses import dataclass, replace

import numpy as np

from scintiflow.phantom.anatomy import Anatomy
from scintiflow.phantom.body import Column, Limbs
from scintiflow.phantom.cloud import Cloud, Segment

LARGEST_SHIFT_MM = 10.0
FREE_MARGIN_MM = 14.0  # from the outermost skin to the edge of the picture


@dataclass(frozen=True)
class Pose:
    """Shift of the trunk's centre (mm) and turns (radians, positive from x towards y).

    Attributes:
        centre: where the pelvis lies, (x, y) mm; (0, y) is the middle of the picture's width.
        turn: of the whole child about the pelvis.
        bends: of each segment about its joint, indexed by `Segment`.
    """

    centre: tuple[float, float]
    turn: float
    bends: tuple[float, ...]


def draw_pose(anatomy: Anatomy, length_mm: float, generator: np.random.Generator) -> Pose:
    """A first pose: the child about in the middle of a picture `length_mm` long."""
    middle = (length_mm - anatomy.build.height) / 2 + anatomy.build.hip_y
    spread = min(60.0, (length_mm - anatomy.build.height) / 6)
    bends = np.zeros(len(Segment))
    bends[Segment.HEAD] = np.clip(generator.normal(0, np.radians(3)), -0.12, 0.12)
    x, y = generator.normal(0, 3), middle + generator.uniform(-spread, spread)
    return Pose((float(x), float(y)), float(np.clip(generator.normal(0, np.radians(0.5)), -0.02, 0.02)), tuple(bends))


def moved(pose: Pose, generator: np.random.Generator) -> Pose:
    """The pose after a small movement: up to 10 mm, about one degree, and a little of head and limbs."""
    distance = LARGEST_SHIFT_MM * np.sqrt(generator.uniform())
    direction = generator.uniform(0, 2 * np.pi)
    centre = (pose.centre[0] + distance * np.cos(direction), pose.centre[1] + distance * np.sin(direction))
    turn = pose.turn + np.clip(generator.normal(0, np.radians(0.5)), -0.02, 0.02)
    spread = np.zeros(len(Segment))
    spread[Segment.HEAD] = np.radians(1.5)
    spread[[Segment.ARM_LEFT, Segment.ARM_RIGHT, Segment.LEG_LEFT, Segment.LEG_RIGHT]] = np.radians(0.8)
    bends = np.array(pose.bends) + np.clip(generator.normal(0, 1, len(spread)), -2, 2) * spread
    return Pose((float(centre[0]), float(centre[1])), float(turn), tuple(bends))


def kept_inside(pose: Pose, anatomy: Anatomy, width_mm: float) -> Pose:
    """The pose, with its shift to the side reduced as far as the picture's width asks for."""
    left, right = _reach(pose, anatomy)
    room = width_mm / 2 - FREE_MARGIN_MM
    x = pose.centre[0] + max(0.0, -room - left) - max(0.0, right - room)
    if right - left > 2 * room:
        x = pose.centre[0] - (left + right) / 2
    return replace(pose, centre=(float(x), pose.centre[1]))


def lie_down(anatomy: Anatomy, pose: Pose) -> tuple[Cloud, tuple[Column, ...]]:
    """The child's points and columns in the coordinates of the picture: x from its middle, y from its top."""
    cloud = anatomy.cloud
    plane = np.empty((len(cloud.segment), 2))
    for segment in Segment:
        chosen = cloud.segment == segment
        plane[chosen] = _placed(cloud.position[chosen, :2], segment, anatomy, pose)
    position = np.column_stack([plane, cloud.position[:, 2]])
    columns = tuple(_placed_column(column, anatomy, pose) for column in anatomy.columns)
    return replace(cloud, position=position), columns


def place_points(position: np.ndarray, segment: Segment, anatomy: Anatomy, pose: Pose) -> np.ndarray:
    """Points `[point, 3]` of one segment in the coordinates of the picture."""
    return np.column_stack([_placed(position[:, :2], segment, anatomy, pose), position[:, 2]])


def _reach(pose: Pose, anatomy: Anatomy) -> tuple[float, float]:
    columns = [_placed_column(column, anatomy, pose) for column in anatomy.columns]
    return (
        min(float((column.x - column.half_width).min()) for column in columns),
        max(float((column.x + column.half_width).max()) for column in columns),
    )


def _placed_column(column: Column, anatomy: Anatomy, pose: Pose) -> Column:
    plane = _placed(np.stack([column.x, column.y], axis=1), column.segment, anatomy, pose)
    return replace(column, x=plane[:, 0], y=plane[:, 1])


def _placed(plane: np.ndarray, segment: Segment, anatomy: Anatomy, pose: Pose) -> np.ndarray:
    bent = _turned(plane, _joint(segment, anatomy.limbs, anatomy.build.head), pose.bends[segment])
    pelvis = np.array([0.0, anatomy.build.hip_y])
    return _turned(bent, pelvis, pose.turn) - pelvis + np.array(pose.centre)


def _turned(plane: np.ndarray, about: np.ndarray, angle: float) -> np.ndarray:
    if angle == 0:
        return plane
    cosine, sine = np.cos(angle), np.sin(angle)
    x, y = plane[:, 0] - about[0], plane[:, 1] - about[1]
    return np.column_stack([cosine * x - sine * y + about[0], sine * x + cosine * y + about[1]])


def _joint(segment: Segment, limbs: Limbs, head: float) -> np.ndarray:
    match segment:
        case Segment.HEAD:
            return np.array([0.0, 0.85 * head])
        case Segment.ARM_RIGHT | Segment.ARM_LEFT:
            x, y = limbs.shoulder
        case Segment.LEG_RIGHT | Segment.LEG_LEFT:
            x, y = limbs.hip
        case _:
            return np.zeros(2)
    side = -1 if segment in (Segment.ARM_RIGHT, Segment.LEG_RIGHT) else 1
    return np.array([side * x, y])
