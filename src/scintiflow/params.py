"""params.yaml, typed: every knob with its unit, frozen, validated; an unknown key is an error.

`params.yaml` is the production recipe. A profile (`profiles/<name>.yaml`) is an overlay that may
change any value and may not add a key. One section belongs to one stage, so that a change in a
section re-runs that stage and what depends on it, and nothing else.
"""

import difflib
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from scintiflow.errors import ScintiflowError

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())

    def sha256(self) -> str:
        """Hex SHA-256 of the section's values, independent of key order and comments."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()


SectionType = TypeVar("SectionType", bound=_Section)


class Protocol(_Section):
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


class PhantomParams(_Section):
    """Simulated children (`scintiflow phantom`)."""

    cohort: str
    children: Count
    seed: int
    youngest_years: Positive
    oldest_years: Positive
    lesions_at_most: Annotated[int, Field(ge=0)]


class SplitParams(_Section):
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


class IngestParams(_Section):
    cohorts: Annotated[list[str], Field(min_length=1)]
    protocol: Protocol
    split: SplitParams
    largest_shift_mm: Positive


class SamArchitecture(_Section):
    """Which `segment_anything` network. 'small' is a narrow ViT built from the same classes."""

    size: Literal["small", "vit_b", "vit_l", "vit_h"]
    image_size: Count
    checkpoint: str
    checkpoint_sha256: Sha256

    @model_validator(mode="after")
    def _checkpoint_has_its_hash(self) -> "SamArchitecture":
        if bool(self.checkpoint) != bool(self.checkpoint_sha256):
            raise ValueError("checkpoint and checkpoint_sha256 must be given together, or both be ''")
        if self.size != "small" and not self.checkpoint:
            raise ValueError(f"size '{self.size}' needs a checkpoint path and its SHA-256")
        return self


class AdaptSamParams(_Section):
    architecture: SamArchitecture
    trainable: Literal["decoder", "lora", "adapter", "all"]
    decoder_too: bool
    lora_rank: Count
    adapter_width: Count
    cached_variations: Annotated[int, Field(ge=0)]
    exact_targets: bool
    seed: int
    steps: Count
    scans_per_step: Count
    structures_per_step: Annotated[int, Field(ge=1, le=5)]
    learning_rate: Positive
    validate_every: Count
    focal_weight: Positive
    display_ceiling_counts: Positive
    prompt_jitter: Share
    shape_prompts: bool


class DistilPriorsParams(_Section):
    keep_embeddings: bool
    workers: Count


class NetworkParams(_Section):
    """One f^IR network."""

    width: Count
    blocks: Annotated[list[Count], Field(min_length=1)]
    backbone: Literal["nafnet", "unet", "restormer"] = "nafnet"

    @model_validator(mode="after")
    def _width_can_be_shuffled(self) -> "NetworkParams":
        if self.backbone == "restormer" and self.width % 2:
            raise ValueError("the width of a restormer must be even")
        return self


class AugmentationParams(_Section):
    """Thinned examples beyond the cohort's own counts, speeds and pixels; the defaults add nothing."""

    smallest_count_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    accelerations: Annotated[list[Annotated[float, Field(gt=1)]], Field(max_length=2)] = []
    binned_share: Share = 0.0

    @model_validator(mode="after")
    def _accelerations_are_a_range(self) -> "AugmentationParams":
        if self.accelerations and (len(self.accelerations) != 2 or self.accelerations[0] > self.accelerations[1]):
            raise ValueError("accelerations must be empty, or the lowest and the highest")
        return self


class TrainCascadeParams(_Section):
    first: NetworkParams
    second: NetworkParams
    second_every: Count
    mixed_precision: bool
    spi: bool
    skd_output_weight: Annotated[float, Field(ge=0)]
    skd_feature_weight: Annotated[float, Field(ge=0)]
    scm_weight: Annotated[float, Field(ge=0)]
    prior_head_weight: Annotated[float, Field(ge=0)] = 0.0
    views: Literal[1, 2] = 1
    masks_from: Literal["standard", "rapid"] = "standard"
    ramp: Share
    base_blur_pixels: Positive
    start_from: str = ""
    start_from_sha256: Sha256 = ""
    thinned_share: Share
    augmentation: AugmentationParams = AugmentationParams()
    seed: int
    steps: Count
    patches_per_step: Count
    batches_per_step: Count = 1
    patch_pixels: Annotated[int, Field(ge=32, multiple_of=16)]
    learning_rate: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    gradient_clip: Positive
    average_decay: Share
    validate_every: Count
    patience: Annotated[int, Field(ge=0)] = 0
    checkpoint_every: Count

    @model_validator(mode="after")
    def _weights_are_named_with_their_hash(self) -> "TrainCascadeParams":
        if bool(self.start_from) != bool(self.start_from_sha256):
            raise ValueError("start_from and start_from_sha256 must be given together, or both be ''")
        return self


class ScenesParams(_Section):
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


class EvaluateParams(_Section):
    data_range_counts: Positive
    lpips_trunk: str
    lpips_trunk_sha256: Sha256
    inception: str
    inception_sha256: Sha256
    gaussian_sigmas_pixels: Annotated[list[Positive], Field(min_length=1)]
    bm3d: bool
    nlm: bool = True
    trained_baselines: list[Literal["unet", "first_alone"]] = []
    missed_below: Share = 0.5
    invented_above: Positive = 0.3
    unsupported_beyond: Positive = 4.0
    sam_frechet_patients: Annotated[int, Field(ge=0)] = 0
    bootstrap_samples: Count
    seed: int
    pictured_patients: Count


class FetchChampionParams(_Section):
    """Whose champion a new model is compared with; must be `register.model_name`."""

    model_name: ModelName


GateMetric = Literal[
    "psnr", "ssim", "deviance", "count_bias", "bone_bias", "lesion_contrast", "lesions_missed", "false_hot_spots",
    "consistency",
]  # fmt: skip
Margins = dict[GateMetric, Annotated[float, Field(ge=0)]]


class AblationParams(_Section):
    """The paper's ablation (`scintiflow ablation`): every arm is trained once with each seed."""

    seeds: Annotated[list[int], Field(min_length=1)]


class AblationArmParams(_Section):
    """One training of the ablation, as it travels through its pipeline."""

    arm: Literal["none", "spi", "spi_skd", "spi_skd_scm", "unadapted"]
    train_cascade: TrainCascadeParams
    evaluate: EvaluateParams


class GateRules(_Section):
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


class RegisterParams(_Section):
    model_name: ModelName
    gate: GateRules


class RestoreRealParams(_Section):
    cohorts: list[str]
    speed_factor: Annotated[float, Field(gt=1)]
    seed: int


class TrackingParams(_Section):
    experiment: str


class ReferenceRecipe(_Section):
    """How the reference model is made: the scenes, and the keys of `train_cascade` that differ from params.yaml."""

    scenes: ScenesParams
    train_cascade: dict[str, Any]


class Params(_Section):
    """The whole recipe."""

    phantom: PhantomParams
    ingest: IngestParams
    adapt_sam: AdaptSamParams
    distil_priors: DistilPriorsParams
    train_cascade: TrainCascadeParams
    fetch_champion: FetchChampionParams
    evaluate: EvaluateParams
    register_: Annotated[RegisterParams, Field(alias="register")]
    restore_real: RestoreRealParams
    tracking: TrackingParams
    ablation: AblationParams = AblationParams(seeds=[1, 2, 3])

    @model_validator(mode="after")
    def _one_model_name(self) -> "Params":
        if self.fetch_champion.model_name != self.register_.model_name:
            raise ValueError("fetch_champion.model_name and register.model_name must be the same")
        return self

    def section(self, stage: str) -> _Section:
        """The section of a stage, by the stage's name."""
        return self.register_ if stage == "register" else getattr(self, stage)


def load_params(base: Path, profile: Path | None = None) -> Params:
    """Read `base`, lay `profile` over it, validate.

    Raises ScintiflowError that names the file, the key, the reason and the remedy.
    """
    values = _read_mapping(base)
    if profile is not None:
        overlay = _read_mapping(profile)
        _refuse_new_keys(values, overlay, profile)
        values = _overlaid(values, overlay)
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise _readable(error, base, profile) from None


def load_reference_recipe(path: Path) -> ReferenceRecipe:
    """Read the recipe of the reference model. Raises ScintiflowError that names file, key, reason and remedy."""
    try:
        return ReferenceRecipe.model_validate(_read_mapping(path))
    except ValidationError as error:
        raise _readable(error, path, None) from None


def changed(section: SectionType, **changes: object) -> SectionType:
    """A copy of a section with values from the command line, checked like those of a file."""
    try:
        return type(section).model_validate(section.model_dump() | changes)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ScintiflowError(
            f"is wrong: {problem['msg']} (it is {problem['input']!r})",
            where=f"--{'.'.join(str(part) for part in problem['loc'])}",
            remedy="Give another value",
        ) from None


# Stages of the ablation's pipeline, whose sections are made of those of params.yaml.
OF_THE_ABLATION: dict[str, type[_Section]] = {
    "unadapted_sam": AdaptSamParams,
    "ablation_arm": AblationArmParams,
    "ablation_table": EvaluateParams,
}


def parse_section(stage: str, text: str) -> _Section:
    """A stage's section from the JSON that travels through a pipeline."""
    if stage in OF_THE_ABLATION:
        return OF_THE_ABLATION[stage].model_validate_json(text)
    field = "register_" if stage == "register" else stage
    section_type: type[_Section] = Params.model_fields[field].annotation  # type: ignore[assignment]
    return section_type.model_validate_json(text)


def section_of(stage: str, base: str, overlay: str = "") -> _Section:
    """A stage's section from the texts of a recipe and of a profile, whatever the other sections look like.

    For recipes of earlier revisions. Raises ScintiflowError if the section is not one that this version knows.
    """
    field = "register_" if stage == "register" else stage
    section_type: type[_Section] = Params.model_fields[field].annotation  # type: ignore[assignment]
    try:
        whole = _overlaid(yaml.safe_load(base), yaml.safe_load(overlay) or {} if overlay else {})
        return section_type.model_validate(whole[stage])
    except (yaml.YAMLError, KeyError, TypeError, ValidationError) as error:
        raise ScintiflowError(
            f"section '{stage}' cannot be read ({type(error).__name__})",
            where="params.yaml",
            remedy="Compare with a revision whose recipe has the same keys",
        ) from None


def _read_mapping(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ScintiflowError("no such file", where=path, remedy="Run inside the project, or name an existing file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "broken"
        raise ScintiflowError(f"not valid YAML{line}: {problem}", where=path, remedy="Mend that line") from None
    if not isinstance(content, dict):
        raise ScintiflowError("holds no sections", where=path, remedy="Give it `section: {key: value}` entries")
    return content


def _refuse_new_keys(base: dict, overlay: dict, path: Path, at: str = "") -> None:
    for key, value in overlay.items():
        if key not in base:
            raise _unknown_key(path, f"{at}{key}", list(base))
        if isinstance(value, dict) and isinstance(base[key], dict):
            _refuse_new_keys(base[key], value, path, f"{at}{key}.")


def _overlaid(base: dict, overlay: dict) -> dict:
    merged = dict(base)
    for key, value in overlay.items():
        both_mappings = isinstance(value, dict) and isinstance(base[key], dict)
        merged[key] = _overlaid(base[key], value) if both_mappings else value
    return merged


def _unknown_key(path: Path, key: str, known: list[str]) -> ScintiflowError:
    near = difflib.get_close_matches(key.rsplit(".", 1)[-1], [str(name) for name in known], n=1)
    remedy = f"Did you mean '{near[0]}'?" if near else f"Known keys here: {', '.join(sorted(map(str, known)))}"
    return ScintiflowError(f"unknown key '{key}'", where=path, remedy=remedy)


def _readable(error: ValidationError, base: Path, profile: Path | None) -> ScintiflowError:
    problem = error.errors()[0]
    location = [part for part in problem["loc"] if not (isinstance(part, str) and part.startswith("function-"))]
    key = ".".join(str(part) for part in location) or "(top level)"
    origin = profile if profile is not None and _holds(profile, location) else base
    if problem["type"] == "extra_forbidden":
        parent: Any = Params
        for part in location[:-1]:
            parent = parent.model_fields.get(f"{part}_", parent.model_fields.get(part)).annotation
        known = [field.alias or name for name, field in parent.model_fields.items()]
        return _unknown_key(origin, key, known)
    if problem["type"] == "missing":
        return ScintiflowError(f"key '{key}' is missing", where=origin, remedy="Add it with a value")
    reason = problem["msg"].removeprefix("Value error, ")
    given = "" if isinstance(problem["input"], dict) else f" (it is {problem['input']!r})"
    return ScintiflowError(
        f"key '{key}' is wrong: {reason[0].lower()}{reason[1:]}{given}",
        where=origin,
        remedy="Mend the value; params.yaml explains every key",
    )


def _holds(path: Path, location: list) -> bool:
    node: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    for part in location:
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return True
