"""The recipe with parts of the method taken away: what a claim that a part helps has to beat.

Every variant keeps data, steps, patches, loss and seed of the recipe.
"""

from collections.abc import Callable

from scintiflow.params import TrainCascadeParams, changed

NEVER = 10**9  # second_every: f^IR2 takes part in the first step alone, and teaches nothing
NO_TEACHER: dict[str, object] = {
    "skd_output_weight": 0.0, "skd_feature_weight": 0.0, "scm_weight": 0.0, "spi": False, "second_every": NEVER,
}  # fmt: skip


def first_alone(recipe: TrainCascadeParams) -> TrainCascadeParams:
    """f^IR1 without f^IR2, masks or distillation."""
    return changed(recipe, **NO_TEACHER, prior_head_weight=0.0)


def plain_unet(recipe: TrainCascadeParams) -> TrainCascadeParams:
    """A U-Net of the recipe's width and depth in f^IR1's place, alone."""
    networks = {part: getattr(recipe, part).model_dump() | {"backbone": "unet"} for part in ("first", "second")}
    return changed(first_alone(recipe), **networks)


BASELINES: dict[str, Callable[[TrainCascadeParams], TrainCascadeParams]] = {
    "unet": plain_unet,
    "first_alone": first_alone,
}
