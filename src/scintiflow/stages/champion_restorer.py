"""The champion as a restorer beside the new model: same patients, same code, no registry."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from scintiflow.errors import ScintiflowError
from scintiflow.files import read_json
from scintiflow.restoration.model_folder import checkpoint_sha256
from scintiflow.restoration.restorer import load_restorer

CHAMPION = "champion"  # the method in the per-patient table
DESCRIPTION = "champion.json"  # written by registry.champion, which evaluation must not import


def champion_of(
    folder: Path, cascade: Path
) -> tuple[dict | None, dict[str, Callable[[np.ndarray, float], np.ndarray]]]:
    """Who the champion in `folder` is, and it as a restorer.

    Returns `{"name", "version", "checkpoint_sha256", "same_model", "unreadable"}` or None, and
    `{"champion": restorer}`. There is no restorer if there is no champion, if its weights are those of `cascade`
    (its rows would only repeat the model's), or if this code cannot open them: then `unreadable` says why, the
    evaluation goes on without it, and the gate blocks, because nothing was compared.
    """
    described = read_json(folder / DESCRIPTION)["champion"]
    if described is None:
        return None, {}
    same = described["checkpoint_sha256"] == checkpoint_sha256(cascade)
    about = {**described, "same_model": same, "unreadable": ""}
    if same:
        return about, {}
    try:
        return about, {CHAMPION: load_restorer(folder)}
    except (ScintiflowError, RuntimeError, KeyError, ValueError) as error:
        reason = getattr(error, "reason", type(error).__name__)
        words = f"this code cannot open the champion's weights ({reason})"
        return {**about, "unreadable": words}, {}
