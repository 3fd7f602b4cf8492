"""The rows of the table: what each method is, and how a trained one differs from the recipe."""

from dataclasses import dataclass, field

import torch
from torch.utils.flop_counter import FlopCounterMode

from scintiflow.params import TrainCascadeParams, changed
from scintiflow.restoration.cascade import Cascade
from scintiflow.restoration.variants import NO_TEACHER
from scintiflow.structures import STRUCTURES

PRIOR_HEAD_WEIGHT = 0.05

WHOLE = {"prior_head_weight": PRIOR_HEAD_WEIGHT, "views": 2}


@dataclass(frozen=True)
class Trained:
    """A row that trains: changes to the recipe, which priors it sees, whose compute it may use.

    Attributes:
        changes: values of `TrainCascadeParams`.
        backbone: of both networks.
        zeroed: train with the body's outline as the only mask.
        compute_of: train for so many steps that the arithmetic equals that row's; '' = the recipe's steps.
    """

    title: str
    changes: dict[str, object] = field(default_factory=dict)
    backbone: str = "nafnet"
    zeroed: bool = False
    compute_of: str = ""


UNTRAINED = {
    "identity": "rapid scan x k",
    "gaussian": "Gaussian, sigma tuned on validation",
    "nlm": "Anscombe + non-local means",
    "bm3d": "Anscombe + BM3D",
    "reference": "the reference model, trained on other simulated children",
}
TRAINED = {
    "unet": Trained("plain U-Net", NO_TEACHER, backbone="unet"),
    "first": Trained("f^IR1 alone, equal steps", NO_TEACHER),
    "first-compute": Trained("f^IR1 alone, compute of the full method", NO_TEACHER, compute_of="full"),
    "first-views": Trained(
        "f^IR1 alone, two views, compute of the full method", NO_TEACHER | {"views": 2}, compute_of="full"
    ),
    "zeroed": Trained("cascade, masks zeroed", zeroed=True),
    "cascade": Trained("cascade (SPI, SKD, SCM)"),
    "full": Trained("full method (cascade, prior head, two views)", WHOLE),
    "without-spi": Trained("full without SPI", WHOLE | {"spi": False}),
    "without-skd": Trained("full without SKD", WHOLE | {"skd_output_weight": 0.0, "skd_feature_weight": 0.0}),
    "without-scm": Trained("full without SCM", WHOLE | {"scm_weight": 0.0}),
    "without-head": Trained("full without prior head", WHOLE | {"prior_head_weight": 0.0}),
    "without-views": Trained("full without two views", WHOLE | {"views": 1}),
}
ROWS = (*UNTRAINED, *TRAINED)


def recipe_of(name: str, base: TrainCascadeParams, seed: int) -> TrainCascadeParams:
    """The parameters of a trained row; steps are those of `base` unless the row goes by compute."""
    row = TRAINED[name]
    networks = {part: getattr(base, part).model_dump() | {"backbone": row.backbone} for part in ("first", "second")}
    recipe = changed(base, **row.changes, **networks, seed=seed)
    if not row.compute_of:
        return recipe
    share = operations_per_step(recipe_of(row.compute_of, base, seed)) / operations_per_step(recipe)
    return changed(recipe, steps=max(1, round(base.steps * share)))


def operations_per_step(recipe: TrainCascadeParams) -> float:
    """Multiplications and additions of one patch forward through what a step trains, f^IR2 in its share of the steps.

    The backward pass costs about twice the forward pass for every row and cancels in ratios.
    """
    cascade = Cascade(recipe)
    counts = torch.ones(1, 1, recipe.patch_pixels, recipe.patch_pixels)
    k, masks = torch.full((1,), 2.0), torch.ones(1, len(STRUCTURES), *counts.shape[2:])
    with torch.no_grad():
        with FlopCounterMode(display=False) as first_operations:
            first = cascade.first(counts, k)
            if cascade.first.prior_head is not None:
                cascade.first.mask_logits(first)
        with FlopCounterMode(display=False) as second_operations:
            cascade.second(first, masks)
    return first_operations.get_total_flops() + second_operations.get_total_flops() / recipe.second_every
