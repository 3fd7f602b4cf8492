"""Asking SAM: all structures of both views of one scan, with the unmodified prompt encoder and mask decoder."""

from collections.abc import Sequence

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Tensor

from scintiflow.sam.canvas import Placement, draw, masks_from_canvas, place
from scintiflow.sam.mask_prompts import expected_shape
from scintiflow.sam.prompts import BOXED, Prompts, find_prompts, to_canvas
from scintiflow.structures import BODY, BONE, STRUCTURES


def mask_logits(
    sam: Sam,
    embedding: Tensor,
    boxes: Tensor,
    points: Tensor,
    shape_prompts: bool,
    structures: Sequence[int] = range(len(STRUCTURES)),
) -> Tensor:
    """Logits `[structure, view, y, x]` on the whole canvas from one image embedding `[1, channel, y, x]`.

    Boxes and points as `prompts.to_canvas` gives them; `structures` are asked for, in that order. Box
    prompts and point prompts go through the decoder separately, since it takes one number of prompt
    tokens at a time. With `shape_prompts` the expected shape of every structure (for bone the body's) is
    also given, as SAM's dense prompt.
    """
    panes = len(points)
    by_structure = boxes.unflatten(0, (len(BOXED), panes))
    answers: dict[int, Tensor] = {}
    boxed = [structure for structure in structures if structure != BONE]
    if boxed:
        boxes_of = {structure: by_structure[BOXED.index(structure)] for structure in boxed}
        shapes = [expected_shape(sam, structure, asked) for structure, asked in boxes_of.items()]
        dense = torch.cat(shapes) if shape_prompts else None
        logits = _decode(sam, embedding, None, torch.cat(list(boxes_of.values())), dense)
        answers |= dict(zip(boxed, logits.unflatten(0, (len(boxed), panes)), strict=True))
    if BONE in structures:
        labels = torch.ones(points.shape[:2], device=points.device)
        dense = expected_shape(sam, BODY, by_structure[BOXED.index(BODY)]) if shape_prompts else None
        answers[BONE] = _decode(sam, embedding, (points, labels), None, dense)
    return torch.stack([answers[structure] for structure in structures])


def canvas_of(
    expected_standard: np.ndarray, prompts: Prompts, image_size: int, ceiling_counts: float
) -> tuple[Tensor, Placement]:
    """The drawn canvas `[3, y, x]` of a scan on the standard scan's scale, and its placement."""
    rows, columns = expected_standard.shape[1:]
    placement = place((rows, columns), prompts.body_boxes, image_size)
    return draw(expected_standard, placement, ceiling_counts), placement


@torch.no_grad()
def predict(
    sam: Sam,
    expected_standard: np.ndarray,
    spacing_mm: float,
    ceiling_counts: float,
    shape_prompts: bool,
    prompts: Prompts | None = None,
) -> tuple[np.ndarray, Tensor]:
    """Soft masks float32 `[structure, view, row, column]` and the image embedding `[channel, y, x]` of a scan.

    Args:
        expected_standard: counts `[view, row, column]` on the standard scan's scale: S itself, or k R; or a
            picture's levels, whose masks have one view.
        prompts: those of this scan, if they are known already; of a picture they must be given.
    """
    device = sam.pixel_mean.device
    prompts = prompts or find_prompts(expected_standard, spacing_mm)
    image, placement = canvas_of(expected_standard, prompts, sam.image_encoder.img_size, ceiling_counts)
    embedding = sam.image_encoder(sam.preprocess(image.to(device))[None])
    boxes, points = to_canvas(prompts, placement)
    logits = mask_logits(sam, embedding, boxes.to(device), points.to(device), shape_prompts)
    return masks_from_canvas(logits.cpu(), placement), embedding[0].cpu()


def _decode(
    sam: Sam,
    embedding: Tensor,
    points: tuple[Tensor, Tensor] | None,
    boxes: Tensor | None,
    masks: Tensor | None,
) -> Tensor:
    sparse, dense = sam.prompt_encoder(points=points, boxes=boxes, masks=masks)
    logits, _ = sam.mask_decoder(
        image_embeddings=embedding,
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=False,
    )
    return logits[:, 0]
