"""The champion as a restorer beside the new model: same patients, same code, no registry."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from scintiflow.errors import ScintiflowError
from scintiflow.files import read_json
from scintiflow.restoration.restorer import checkpoint_sha256, load_restorer

CHAMPION = "champion"  # the method in the per-patient table
DESCRIPTION = "champion.json"  # written by registry.champion, which evaluation must not import


def champion_of(
    folder: Path, cascade: Path
) -> tuple[dict | None, dict[str, Callable[[np.ndarray, float], np.ndarray]]]:
    """Who the champion in `folder` is, and it as a restorer.

    Returns `{"name", "version", "checkpoint_sha256", "same_model"}` or None, and `{"champion": restorer}`; no
    restorer if there is no champion or if its weights are those of `cascade`, whose rows it would only repeat.

    Raises ScintiflowError if this code cannot open the champion's weights.
    """
    described = read_json(folder / DESCRIPTION)["champion"]
    if described is None:
        return None, {}
    same = described["checkpoint_sha256"] == checkpoint_sha256(cascade)
    about = {**described, "same_model": same}
    if same:
        return about, {}
    try:
        return about, {CHAMPION: load_restorer(folder)}
    except (RuntimeError, KeyError) as error:
        raise ScintiflowError(
            f"the code has changed: it cannot open the champion, version {described['version']} "
            f"({type(error).__name__})",
            where=folder,
            remedy="Compare with code that opens both models, or retrain the champion's recipe with this code first",
        ) from None
