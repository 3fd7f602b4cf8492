"""Sections about what is trained: SAM, priors, the cascade."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from scintiflow.params.section import Count, Positive, Section, Sha256, Share


class SamArchitecture(Section):
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


class AdaptSamParams(Section):
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


class DistilPriorsParams(Section):
    keep_embeddings: bool
    workers: Count


class NetworkParams(Section):
    """One f^IR network."""

    width: Count
    blocks: Annotated[list[Count], Field(min_length=1)]
    backbone: Literal["nafnet", "unet", "restormer"] = "nafnet"

    @model_validator(mode="after")
    def _width_can_be_shuffled(self) -> "NetworkParams":
        if self.backbone == "restormer" and self.width % 2:
            raise ValueError("the width of a restormer must be even")
        return self


class AugmentationParams(Section):
    """Thinned examples beyond the cohort's own counts, speeds and pixels; the defaults add nothing."""

    smallest_count_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    accelerations: Annotated[list[Annotated[float, Field(gt=1)]], Field(max_length=2)] = Field(default_factory=list)
    binned_share: Share = 0.0

    @model_validator(mode="after")
    def _accelerations_are_a_range(self) -> "AugmentationParams":
        if self.accelerations and (len(self.accelerations) != 2 or self.accelerations[0] > self.accelerations[1]):
            raise ValueError("accelerations must be empty, or the lowest and the highest")
        return self


class TrainCascadeParams(Section):
    BY_WHOM: ClassVar[frozenset[str]] = frozenset({"devices", "nodes"})

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
    count_true_pixels: Annotated[float, Field(ge=0)] = 0.0
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
    torch_compile: bool = False
    devices: Count = 1
    nodes: Count = 1

    @property
    def processes(self) -> int:
        """How many processes train together: one for each device."""
        return self.devices * self.nodes

    @model_validator(mode="after")
    def _every_process_has_a_share(self) -> "TrainCascadeParams":
        if self.processes > self.patches_per_step:
            raise ValueError(
                f"devices x nodes is {self.processes}, which cannot share patches_per_step = {self.patches_per_step}"
            )
        return self

    @model_validator(mode="after")
    def _weights_are_named_with_their_hash(self) -> "TrainCascadeParams":
        if bool(self.start_from) != bool(self.start_from_sha256):
            raise ValueError("start_from and start_from_sha256 must be given together, or both be ''")
        return self
