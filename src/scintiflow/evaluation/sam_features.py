"""Features of the adapted SAM's encoder: what stands in where Inception's weights are absent.

Inception was trained on photographs. The encoder that was adapted to bone scans describes a scan by one vector
for each token of its canvas; the vectors of the tokens inside the body are the features here. A distance between
them is named after SAM wherever it is shown: it is not FID, and no other project's number compares with it.
"""

from pathlib import Path

import numpy as np
import torch
from segment_anything.modeling import Sam

from scintiflow.sam.adapter import load_adapted_sam
from scintiflow.sam.canvas import masks_to_canvas
from scintiflow.sam.prediction import canvas_of
from scintiflow.sam.prompts import Prompts, find_prompts

BODY_SHARE = 0.5  # of a token that must lie inside the body


class SamEncoder:
    """The image encoder alone, on the canvas that SAM was adapted on."""

    def __init__(self, sam: Sam, ceiling_counts: float, name: str) -> None:
        self._sam, self._ceiling, self.name = sam.eval(), ceiling_counts, name

    def crop(self, standard: np.ndarray, spacing_mm: float) -> Prompts:
        """The crop of a study, by its standard scan; all pictures of the study share it."""
        return find_prompts(standard, spacing_mm)

    @torch.inference_mode()
    def __call__(self, counts: np.ndarray, body: np.ndarray, crop: Prompts) -> np.ndarray:
        """Vectors float64 `[token, channel]` of the body's tokens in both views, from standard counts.

        Args:
            counts: `[view, row, column]`, two views.
            body: boolean, alike.
        """
        encoder = self._sam.image_encoder
        image, placement = canvas_of(counts, crop, encoder.img_size, self._ceiling)
        embedding = encoder(self._sam.preprocess(image)[None])[0]
        inside = masks_to_canvas(body[None], placement, embedding.shape[-1])[0].sum(dim=0) > BODY_SHARE
        return embedding[:, inside].T.double().numpy()


def load_sam_encoder(folder: Path) -> SamEncoder:
    """From the output of adapt_sam. Raises ScintiflowError if it is not one."""
    sam, description = load_adapted_sam(folder)
    return SamEncoder(sam, float(description["display_ceiling_counts"]), str(description["provenance"]["text"]))
