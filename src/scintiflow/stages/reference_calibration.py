"""From when on the reference model's restorations contradict their counts: limits from held-out children."""

from pathlib import Path

from scintiflow.evaluation.agreement import Calibration, agreement, calibrated, save_calibration
from scintiflow.params import Params, ReferenceRecipe
from scintiflow.phantom.camera import SPACING_MM
from scintiflow.restoration.model_folder import CALIBRATION, checkpoint_sha256
from scintiflow.stages.reference_held_out import held_out, trained_range


def calibrate_reference(recipe: ReferenceRecipe, params: Params, folder: Path) -> Calibration:
    """Write `calibration.json` into a model's folder; from the restorations of `reference_held_out`."""
    lowest, highest = trained_range(folder, params.ingest.protocol)
    found = [
        agreement(each.rapid, each.restored, each.count_ratio, SPACING_MM)
        for each in held_out(recipe, params.ingest.protocol, folder, "calibrating on simulated children")
    ]
    words = f"{recipe.scenes.validation_children} simulated children, thinned to k = {lowest:.2f} to {highest:.2f}"
    calibration = calibrated(found, params.evaluate.refusal, words, checkpoint_sha256(folder))
    save_calibration(folder / CALIBRATION, calibration)
    return calibration
