"""SAM as it comes, in the form of an adapted one: what adaptation has to beat in the ablation.

With a checkpoint these are the published weights; the size 'small' has none, so its weights are random and its
masks mean nothing.
"""

from pathlib import Path

from scintiflow.files import whole_folder, write_json
from scintiflow.params import AdaptSamParams
from scintiflow.sam import canvas, prompts
from scintiflow.sam.adapter import DESCRIPTION, save_adapter
from scintiflow.sam.build import build_sam
from scintiflow.sam.trainable import Trainable


def save_unadapted(params: AdaptSamParams, folder: Path) -> None:
    """Write `adapter.pt` and `sam.json` of a SAM that has learned nothing here; `load_adapted_sam` opens it."""
    sam, provenance = build_sam(params.architecture, params.seed)
    trainable = Trainable.from_params(params)
    trainable.extend(sam)
    with whole_folder(folder) as partial:
        description = {
            "architecture": params.architecture.model_dump(),
            "provenance": provenance.as_dict() | {"text": f"not adapted; size {params.architecture.size}"},
            "trainable": trainable.model_dump(),
            "display_ceiling_counts": params.display_ceiling_counts,
            "shape_prompts": params.shape_prompts,
            "base_checkpoint_sha256": params.architecture.checkpoint_sha256,
            "adapter_sha256": save_adapter(partial, trainable.state(sam)),
            "canvas_version": canvas.VERSION,
            "prompts_version": prompts.VERSION,
        }
        write_json(partial / DESCRIPTION, description)
