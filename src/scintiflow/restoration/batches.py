"""From numpy batches to tensors: batch n is the same whoever asks for it, and whenever."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from scintiflow.dataset.patches import Batch
from scintiflow.restoration.cascade import Examples

WORKERS_WITH_ACCELERATOR = 4


class Sampler(Protocol):
    """Where batches come from: `dataset.patches.PatchSampler`, `dataset.scenes.SceneSampler`."""

    def batch(self, step: int) -> Batch: ...


class SteppedBatches(IterableDataset[dict[str, torch.Tensor]]):
    """Batches first, first + 1, ... in order; of several processes each takes its share of every batch's examples.

    Each process draws the whole batch, so that the batch does not depend on how many share it.
    """

    def __init__(self, sampler: Sampler, first: int, last: int, rank: int = 0, processes: int = 1) -> None:
        self._sampler, self._first, self._last = sampler, first, last
        self._rank, self._processes = rank, processes

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        worker = get_worker_info()
        start, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        for step in range(self._first + start, self._last, stride):
            whole = to_tensors(self._sampler.batch(step))
            yield {name: values[self._rank :: self._processes] for name, values in whole.items()}


def batch_loader(batches: SteppedBatches, workers: int) -> DataLoader:
    """Loads batches of `to_tensors`. Workers take turns: the order does not depend on their number."""
    return DataLoader(batches, batch_size=None, num_workers=workers, pin_memory=torch.cuda.is_available())


def to_tensors(batch: Batch) -> dict[str, torch.Tensor]:
    """Tensors of a batch by the names of `Examples`, a mapping, so that the trainer can move them to a device."""
    arrays = {name: getattr(batch, name) for name in Examples.__dataclass_fields__}
    return {name: torch.from_numpy(array) for name, array in arrays.items() if array is not None}
