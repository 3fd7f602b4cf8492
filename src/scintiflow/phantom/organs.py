"""What takes up tracer besides bone: kidneys, bladder, and the rest of the dose at the injection site."""

import numpy as np

from scintiflow.phantom.body import SIDES, Limbs
from scintiflow.phantom.cloud import CloudBuilder, Segment
from scintiflow.phantom.growth import Build
from scintiflow.phantom.shapes import ellipsoid, tube
from scintiflow.structures import BLADDER, INJECTION_SITE, KIDNEYS

SMALLEST_BLADDER_ML, LARGEST_BLADDER_ML = 8.0, 260.0


def add_kidneys(parts: CloudBuilder, build: Build, generator: np.random.Generator) -> None:
    """Two kidneys beside the upper lumbar spine, the child's right one a little lower."""
    h = build.height
    length = float(np.interp(build.age, [0.5, 5, 16], [0.048, 0.038, 0.031])) * h
    density = float(np.exp(np.clip(generator.normal(np.log(7.5), 0.35), np.log(3.5), np.log(16))))
    for side, _, _ in SIDES:
        y = build.trunk(0.595 + (0.02 if side < 0 else 0.0)) + generator.normal(0, 0.004) * h
        centre = (side * 0.040 * h, y, -0.030 * h * (0.5 + 0.5 * build.girth))
        size = length * np.clip(generator.normal(1, 0.06), 0.85, 1.15)
        shape = ellipsoid(centre, (0.47 * size, size, 0.42 * size), density, tilt=-side * np.radians(12))
        parts.add(shape, KIDNEYS, "kidney", Segment.TRUNK)


def add_bladder(parts: CloudBuilder, build: Build, generator: np.random.Generator) -> None:
    """The bladder, more or less emptied before the scan; capacity grows with age (30 ml per year, plus 60)."""
    capacity = 60 + 30 * build.age
    volume = float(np.clip(capacity * generator.uniform(0.06, 0.5), SMALLEST_BLADDER_ML, LARGEST_BLADDER_ML))
    mean_radius = np.cbrt(volume * 1000 * 3 / (4 * np.pi))
    density = float(np.exp(generator.uniform(np.log(15), np.log(55))))
    radii = (1.14 * mean_radius, 0.92 * mean_radius, 0.95 * mean_radius)
    rim_y = build.trunk(1.045)
    centre = (generator.normal(0, 0.006) * build.height, rim_y - 0.75 * radii[1], 0.012 * build.height)
    parts.add(ellipsoid(centre, radii, density), BLADDER, "bladder", Segment.TRUNK)


def add_injection_site(parts: CloudBuilder, build: Build, limbs: Limbs, generator: np.random.Generator) -> str:
    """The part of the dose that stayed where it was given; returns where, for example 'elbow'.

    Its activity is a share of all the other activity that spans three powers of ten, so that it is
    sometimes a blaze and sometimes hardly visible. A foot is used in small children only.
    """
    places = ["elbow", "wrist", "hand"] + (["foot"] if build.age < 4 else [])
    place = places[int(generator.integers(len(places)))]
    side, arm, leg = SIDES[int(generator.integers(2))]
    h = build.height
    joint = {"elbow": limbs.elbow, "wrist": limbs.wrist, "hand": limbs.finger_tip, "foot": limbs.ankle}[place]
    x, y = joint
    if place == "hand":
        x, y = (a + 0.4 * (b - a) for a, b in zip(limbs.wrist, limbs.finger_tip, strict=True))
    if place == "foot":
        x, y = (a + 0.3 * (b - a) for a, b in zip(limbs.ankle, limbs.toes, strict=True))
    centre = np.array([side * x + generator.normal(0, 0.004) * h, y + generator.normal(0, 0.006) * h, 0.008 * h])
    radius = float(generator.uniform(2.5, 6.0))
    track = [centre, centre + np.array([generator.normal(0, 0.5), -1.0, 0.2]) * generator.uniform(2, 14)]
    shape = tube(track, radius)
    share = float(np.exp(generator.uniform(np.log(2e-5), np.log(8e-3))))
    everything = build.weight * 1e6 * 1.6  # mm^3 of soft tissue, and bone with about as much activity again
    shape = tube(track, radius, share * everything / shape.activity.sum())
    parts.add(shape, INJECTION_SITE, "injection site", leg if place == "foot" else arm)
    return place
