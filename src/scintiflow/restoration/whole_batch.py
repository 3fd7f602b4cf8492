"""Sums over the whole batch of a step, of which a process may hold a share.

Several processes train like one: each loss is that of the whole batch, on every one of them, to the last bit the
same number. The sums can be differentiated: what flows back is W times a process' part of the gradient, and the
mean over W processes that DistributedDataParallel takes is the gradient of the whole batch. In one process both
functions are what their names say, bit for bit.
"""

import torch.distributed as distributed
from torch import Tensor
from torch.distributed.nn.functional import all_reduce


def is_shared() -> bool:
    """Whether several processes train together here."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def whole_sum(part: Tensor) -> Tensor:
    """A sum over this process' share, summed over all processes."""
    return all_reduce(part) if is_shared() else part


def whole_mean(mean: Tensor, number: int) -> Tensor:
    """The mean over the values of all processes, from this process' mean over its `number` values."""
    if not is_shared():
        return mean
    return whole_sum(mean * number) / whole_sum(mean.new_tensor(float(number)))
