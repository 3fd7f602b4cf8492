"""Sections about children and scans: the protocol, cohorts, the simulators."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from scintiflow.params.section import Count, Positive, Section, Share


class Protocol(Section):
    """What the hospital's two acquisitions look like. Velocities in mm/s, ages in years."""

    standard_velocity_mm_s: Positive
    rapid_velocity_mm_s: Positive
    velocity_tolerance: Share
    youngest_years: Annotated[float, Field(ge=0)]
    oldest_years: Positive
    pair_within_hours: Positive
    smallest_counts_per_view: Count

    @model_validator(mode="after")
    def _rapid_is_faster(self) -> "Protocol":
        if self.rapid_velocity_mm_s <= self.standard_velocity_mm_s:
            raise ValueError("rapid_velocity_mm_s must be larger than standard_velocity_mm_s")
        if self.oldest_years <= self.youngest_years:
            raise ValueError("oldest_years must be larger than youngest_years")
        return self


class PhantomParams(Section):
    """Simulated children (`scintiflow phantom`)."""

    cohort: str
    children: Count
    seed: int
    youngest_years: Positive
    oldest_years: Positive
    lesions_at_most: Annotated[int, Field(ge=0)]


class SplitParams(Section):
    """Shares of patients; a patient's place depends on its pseudonym and the seed alone."""

    seed: int
    train: Share
    validation: Share
    smallest_train: Count
    smallest_validation: Count
    smallest_test: Count

    @model_validator(mode="after")
    def _leaves_a_test_share(self) -> "SplitParams":
        if self.train + self.validation >= 1:
            raise ValueError("train + validation must leave a share for the test patients (sum below 1)")
        return self


class ImagePairParams(Section):
    """Paired pictures; used with `source: image_pairs` alone."""

    largest_shift_pixels: Positive = 8.0
    copy_correlation: Annotated[float, Field(gt=0, le=1)] = 0.995


class IngestParams(Section):
    """`source` says what lies in the cohorts' folders: de-identified DICOM, or paired pictures."""

    source: Literal["dicom", "image_pairs"] = "dicom"
    cohorts: Annotated[list[str], Field(min_length=1)]
    image_pairs: ImagePairParams = ImagePairParams()
    protocol: Protocol
    split: SplitParams
    largest_shift_mm: Positive


class ScenesParams(Section):
    """The wide simulator of `dataset.scenes`: what varies beyond one hospital's children and camera."""

    children: Count
    validation_children: Count
    seed: int
    youngest_years: Positive
    oldest_years: Positive
    scales: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    counts: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    accelerations: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    blurred_share: Share
    largest_blur_pixels: Positive
    shapes_share: Share
    lesions_per_patch: Annotated[float, Field(ge=0)] = 1.5
    lesion_weight: Annotated[float, Field(ge=0)] = 0.0
    faint_lesion_weight: Annotated[float, Field(ge=0)] = 0.0
