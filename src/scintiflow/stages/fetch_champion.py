"""Stage fetch_champion: the champion's weights out of the registry, by alias, for those who compare with it.

The folder `champion` holds `champion.json` (who it is, or that there is none) and f^IR1 as a cascade folder.
"""

from dataclasses import dataclass
from pathlib import Path

from scintiflow.files import whole_folder
from scintiflow.params import FetchChampionParams
from scintiflow.registry.champion import fetch_champion
from scintiflow.tracking import Tracker


@dataclass(frozen=True)
class Inputs:
    """Nothing: the champion comes from the registry."""


@dataclass(frozen=True)
class Outputs:
    champion: Path


def run(params: FetchChampionParams, inputs: Inputs, outputs: Outputs, tracker: Tracker) -> dict[str, float]:
    """Fetch the champion of `params.model_name`; returns its version, 0 if there is none."""
    with whole_folder(outputs.champion) as folder:
        champion = fetch_champion(params.model_name, folder)
    return {"champion_version": 0.0 if champion is None else float(champion.version)}
