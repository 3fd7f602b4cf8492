"""One simulated child: build, outline and everything that takes up tracer."""

from dataclasses import dataclass

import numpy as np

from scintiflow.phantom.axial_skeleton import add_axial_skeleton
from scintiflow.phantom.body import Column, Limbs, outline, place_limbs
from scintiflow.phantom.cloud import Cloud, CloudBuilder
from scintiflow.phantom.growth import Build, draw_build, median_build
from scintiflow.phantom.limb_skeleton import add_limb_skeleton
from scintiflow.phantom.organs import add_bladder, add_injection_site, add_kidneys


@dataclass(frozen=True)
class Anatomy:
    """A child before it lies down under the camera."""

    build: Build
    limbs: Limbs
    columns: tuple[Column, ...]
    cloud: Cloud


def draw_anatomy(age: float, generator: np.random.Generator) -> Anatomy:
    """A child of `age` years with the spread of size, uptake, bladder filling and injection that clinics see."""
    build = draw_build(age, generator)
    arms_out = float(np.clip(generator.normal(0.0, 0.006), -0.008, 0.012))
    legs_out = float(np.clip(generator.normal(0.0, 0.008), -0.016, 0.016))
    limbs = place_limbs(build, arms_out, legs_out)
    parts = CloudBuilder(generator)
    add_axial_skeleton(parts, build, limbs, curve_mm=float(generator.normal(0, 0.0015) * build.height))
    add_limb_skeleton(parts, build, limbs)
    add_kidneys(parts, build, generator)
    add_bladder(parts, build, generator)
    add_injection_site(parts, build, limbs, generator)
    return Anatomy(build, limbs, outline(build, limbs), parts.cloud())


def median_skeleton(age: float) -> Anatomy:
    """The typical child of an age without organs or any spread: what the anatomy itself says."""
    build = median_build(age)
    limbs = place_limbs(build)
    parts = CloudBuilder(None)
    add_axial_skeleton(parts, build, limbs)
    add_limb_skeleton(parts, build, limbs)
    return Anatomy(build, limbs, outline(build, limbs), parts.cloud())
