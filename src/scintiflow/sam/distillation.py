"""Asking the adapted SAM about one study after the other, or about several at once.

The answers are the same bytes with any number of processes: on a CPU each works with one thread,
because another number of threads adds up in another order.
"""

import multiprocessing
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from segment_anything.modeling import Sam

from scintiflow.dataset.manifest import Dataset, modality_of
from scintiflow.dataset.priors import Prior
from scintiflow.sam.adapter import load_adapted_sam
from scintiflow.sam.prediction import predict
from scintiflow.sam.subjects import masks_of_planes, prompts_of
from scintiflow.sam.training import deterministic

SECONDS_TO_START = 8.0  # a further process loads torch and the network while this much work is done elsewhere
WAITING_PER_WORKER = 2  # studies handed to a process ahead of time; answers are large, so not more


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


def in_processes(
    workers: int, sam_folder: Path, keep_embeddings: bool, dataset: Dataset, rows: Iterable[pd.Series]
) -> Iterator[tuple[pd.Series, Prior, float]]:
    """Rows, their priors and the seconds each took, as they get ready, from `workers` processes.

    Processes are spawned, not forked: a fork of a process in which torch has run may wait for ever.
    """
    rows = iter(rows)
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(sam_folder, keep_embeddings, dataset),
    )
    with pool:
        waiting: dict[Future[tuple[Prior, float]], pd.Series] = {}
        try:
            while True:
                for row in rows:
                    waiting[pool.submit(_answer, row)] = row
                    if len(waiting) >= WAITING_PER_WORKER * workers:
                        break
                if not waiting:
                    return
                ready, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ready:
                    yield waiting.pop(future), *future.result()
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass
class _Process:
    """What a worker process keeps between studies."""

    asker: Asker | None = None
    dataset: Dataset | None = None


_process = _Process()  # a process pool has no other place for it


def _start(sam_folder: Path, keep_embeddings: bool, dataset: Dataset) -> None:
    torch.set_num_threads(1)
    _process.asker, _process.dataset = Asker.load(sam_folder, keep_embeddings), dataset


def _answer(row: pd.Series) -> tuple[Prior, float]:
    assert _process.asker is not None
    assert _process.dataset is not None
    started = time.perf_counter()
    prior = _process.asker.prior(_process.dataset, row)
    return prior, time.perf_counter() - started


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
