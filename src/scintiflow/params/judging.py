"""Sections about what is measured and decided: evaluation, ablation, gate, registration."""

from typing import Annotated, Literal

from pydantic import Field

from scintiflow.params.networks import TrainCascadeParams
from scintiflow.params.section import Count, ModelName, Positive, Section, Sha256, Share


class AgreementMargins(Section):
    """Added to what held-out children show; each in the unit of `evaluation.agreement`."""

    deviance: Annotated[float, Field(ge=0)] = 0.05
    count_error: Annotated[float, Field(ge=0)] = 0.01
    excess: Annotated[float, Field(ge=0)] = 1.0
    loss: Annotated[float, Field(ge=0)] = 1.0


class RefusalParams(Section):
    """From when on a restoration contradicts the counts it was made from."""

    quantile: Share = 0.95
    margins: AgreementMargins = AgreementMargins()


class EvaluateParams(Section):
    data_range_counts: Positive
    lpips_trunk: str
    lpips_trunk_sha256: Sha256
    inception: str
    inception_sha256: Sha256
    gaussian_sigmas_pixels: Annotated[list[Positive], Field(min_length=1)]
    bm3d: bool
    nlm: bool = True
    trained_baselines: list[Literal["unet", "first_alone"]] = Field(default_factory=list)
    missed_below: Share = 0.5
    invented_above: Positive = 0.3
    unsupported_beyond: Positive = 4.0
    sam_frechet_patients: Annotated[int, Field(ge=0)] = 0
    refusal: RefusalParams = RefusalParams()
    bootstrap_samples: Count
    seed: int
    pictured_patients: Count


class FetchChampionParams(Section):
    """Whose champion a new model is compared with; must be `register.model_name`."""

    model_name: ModelName


GateMetric = Literal[
    "psnr", "ssim", "deviance", "count_bias", "bone_bias", "lesion_contrast", "lesions_missed", "false_hot_spots",
    "consistency",
]  # fmt: skip
Margins = dict[GateMetric, Annotated[float, Field(ge=0)]]


class AblationParams(Section):
    """The paper's ablation (`scintiflow ablation`): every arm is trained once with each seed."""

    seeds: Annotated[list[int], Field(min_length=1)]


class AblationArmParams(Section):
    """One training of the ablation, as it travels through its pipeline."""

    arm: Literal["none", "spi", "spi_skd", "spi_skd_scm", "unadapted"]
    train_cascade: TrainCascadeParams
    evaluate: EvaluateParams


class GateRules(Section):
    """What a model must reach to become champion; `docs/reference/gate.md` explains every rule.

    The metrics named in the four mappings are those of `registry.measures`. Every mapping gives a margin in the
    metric's unit; a paired rule compares the new model with the champion on the same patients.
    """

    smallest_test_patients: Count
    smallest_lesion_patients: Count
    psnr_gain_over_identity_db: float
    psnr_gain_over_gaussian_db: float
    largest_count_bias: Positive
    largest_bone_bias: Positive
    smallest_lesion_contrast: Share
    largest_lesion_contrast: Annotated[float, Field(ge=1)]
    largest_missed_share: Share
    largest_false_hot_spots: Annotated[float, Field(ge=0)]
    significance: Annotated[float, Field(gt=0, lt=0.5)]
    bootstrap_samples: Annotated[int, Field(ge=100)]
    seed: int
    superiority: Annotated[Margins, Field(min_length=1)]
    non_inferiority: Annotated[Margins, Field(min_length=1)]
    subgroups: Annotated[Margins, Field(min_length=1)]
    worst_patient: Margins


class RegisterParams(Section):
    model_name: ModelName
    graph: bool = False
    gate: GateRules


class RestoreRealParams(Section):
    cohorts: list[str]
    speed_factor: Annotated[float, Field(gt=1)]
    seed: int


class TrackingParams(Section):
    experiment: str
