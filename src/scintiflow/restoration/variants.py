"""The recipe with parts of the method taken away: what a claim that a part helps has to beat.

Every variant keeps data, steps, patches, loss and seed of the recipe, and starts from nothing: given weights
have seen more data than the variant is to be judged by.
"""

from collections.abc import Callable

from scintiflow.params import TrainCascadeParams, changed

NEVER = 10**9  # second_every: f^IR2 takes part in the first step alone, and teaches nothing
FROM_NOTHING: dict[str, object] = {"start_from": "", "start_from_sha256": ""}
NO_TEACHER: dict[str, object] = {
    "skd_output_weight": 0.0, "skd_feature_weight": 0.0, "scm_weight": 0.0, "spi": False, "second_every": NEVER,
}  # fmt: skip


def first_alone(recipe: TrainCascadeParams) -> TrainCascadeParams:
    """f^IR1 without f^IR2, masks or distillation."""
    return changed(recipe, **NO_TEACHER, **FROM_NOTHING, prior_head_weight=0.0)


def plain_unet(recipe: TrainCascadeParams) -> TrainCascadeParams:
    """A U-Net of the recipe's width and depth in f^IR1's place, alone."""
    networks = {part: getattr(recipe, part).model_dump() | {"backbone": "unet"} for part in ("first", "second")}
    return changed(first_alone(recipe), **networks)


# The paper's ablation: what each arm takes away from the recipe. 'unadapted' differs by its priors alone.
ARMS: dict[str, dict[str, object]] = {
    "none": {"spi": False, "skd_output_weight": 0.0, "skd_feature_weight": 0.0, "scm_weight": 0.0},
    "spi": {"spi": True, "skd_output_weight": 0.0, "skd_feature_weight": 0.0, "scm_weight": 0.0},
    "spi_skd": {"spi": True, "scm_weight": 0.0},
    "spi_skd_scm": {"spi": True},
    "unadapted": {"spi": True},
}


def ablation_arm(recipe: TrainCascadeParams, arm: str) -> TrainCascadeParams:
    """The recipe of one arm; the prior head, which is ours and not the paper's, is off in all of them."""
    return changed(recipe, **ARMS[arm], **FROM_NOTHING, prior_head_weight=0.0)


BASELINES: dict[str, Callable[[TrainCascadeParams], TrainCascadeParams]] = {
    "unet": plain_unet,
    "first_alone": first_alone,
}
