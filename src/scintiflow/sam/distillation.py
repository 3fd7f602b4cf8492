"""Asking the adapted SAM about one study after the other, or about several at once.

The answers are the same bytes with any number of processes: on a CPU each works with one thread,
because another number of threads adds up in another order.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from segment_anything.modeling import Sam

from scintiflow.dataset.manifest import Dataset, modality_of
from scintiflow.dataset.priors import Prior
from scintiflow.processes import in_processes
from scintiflow.sam.adapter import load_adapted_sam
from scintiflow.sam.prediction import predict
from scintiflow.sam.subjects import masks_of_planes, prompts_of
from scintiflow.sam.training import deterministic

SECONDS_TO_START = 8.0  # a further process loads torch and the network while this much work is done elsewhere


@dataclass(frozen=True)
class Asker:
    """An adapted SAM on the machine's best device, and how it is asked."""

    sam: Sam
    description: dict
    keep_embeddings: bool

    @classmethod
    def load(cls, sam_folder: Path, keep_embeddings: bool) -> "Asker":
        sam, description = load_adapted_sam(sam_folder)
        return cls(sam.to(_device()), description, keep_embeddings)

    def prior(self, dataset: Dataset, row: pd.Series) -> Prior:
        """Soft masks and embeddings of both scans of a study, a row of the manifest."""
        pair, modality, spacing = dataset.pair(row["study"]), modality_of(row), float(row["spacing_mm"])
        how = self.description["display_ceiling_counts"], self.description["shape_prompts"]

        def asked(expected_standard: np.ndarray) -> tuple[np.ndarray, torch.Tensor]:
            prompts = prompts_of(modality, expected_standard, spacing)
            masks, embedding = predict(self.sam, expected_standard, spacing, *how, prompts)
            return masks_of_planes(modality, masks, len(expected_standard)), embedding

        with deterministic(), _one_thread():
            rapid, rapid_embedding = asked(pair.rapid * np.float32(row["count_ratio"]))
            standard, standard_embedding = asked(pair.standard.astype(np.float32))
        keep = self.keep_embeddings
        return Prior(
            masks_rapid=_as_bytes(rapid),
            masks_standard=_as_bytes(standard),
            embedding_rapid=rapid_embedding.numpy().astype(np.float16) if keep else None,
            embedding_standard=standard_embedding.numpy().astype(np.float16) if keep else None,
        )


def useful_workers(wanted: int, studies: int, seconds_per_study: float) -> int:
    """How many processes to use; 1 means none beside this one, since starting them would take longer."""
    if _device().type != "cpu":
        return 1
    return max(1, min(wanted, studies, int(studies * seconds_per_study / SECONDS_TO_START)))


def ask_in_processes(
    workers: int, sam_folder: Path, keep_embeddings: bool, dataset: Dataset, rows: list[pd.Series]
) -> Iterator[tuple[pd.Series, Prior, float]]:
    """Rows, their priors and the seconds each took, from `workers` processes."""
    answer = partial(_answer, sam_folder, keep_embeddings, dataset.folder)
    answers = in_processes(answer, rows, workers, "distil_priors", preload=__name__)
    for row, (prior, seconds) in zip(rows, answers, strict=True):
        yield row, prior, seconds


def _answer(sam_folder: Path, keep_embeddings: bool, dataset: Path, row: pd.Series) -> tuple[Prior, float]:
    asker, opened = _opened(sam_folder, keep_embeddings, dataset)
    started = time.perf_counter()
    prior = asker.prior(opened, row)
    return prior, time.perf_counter() - started


@cache
def _opened(sam_folder: Path, keep_embeddings: bool, dataset: Path) -> tuple[Asker, Dataset]:
    """Once for each process."""
    return Asker.load(sam_folder, keep_embeddings), Dataset.open(dataset)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _as_bytes(soft: np.ndarray) -> np.ndarray:
    return np.round(soft * 255).astype(np.uint8)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
