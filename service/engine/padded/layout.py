"""Which row of a batch uses which slot at which site: a plan, as numbers that fit into tensors of few sizes.

Rows are padded to a bucket, so that batches of different sizes share what is recorded for their bucket; a padded row
repeats the first one and uses slot 0 everywhere.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from service.engine.padded.bank import HEAD, Bank, Key
from service.engine.planning import Plan

BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is.

    Attributes:
        images: which of the plan's images enter, padded.
        keys: classes in use, in the order of `slots`.
        slots: (keys, rows) int64 on the CPU: the slot of each row, rows being the largest bucket of the batch.
        forks: by site, rows that go on from its output, padded.
    """

    images: list[int]
    keys: tuple[Key, ...]
    slots: Tensor
    forks: dict[int, list[int]]

    @property
    def signature(self) -> tuple[object, ...]:
        """Equal for batches that launch the same work."""
        forks = tuple((site, len(order)) for site, order in sorted(self.forks.items()))
        return len(self.images), self.keys, forks


def lay_out(plan: Plan, bank: Bank) -> Layout:
    """The layout of a plan; weights that are not in the bank are written to it."""
    slots = [bank.slots(resident) for resident, _ in plan.groups]
    keys = sorted({key for each in slots for key in each}, key=lambda key: (key[0] == HEAD, key))
    forks = {site: _padded(order) for site, order in plan.forks.items()}
    images = _padded(range(len(plan.images)))
    rows = max(len(order) for order in (images, *forks.values()))
    table = np.zeros((len(keys), rows), np.int64)  # NumPy's small writes cost a tenth of PyTorch's
    for number, key in enumerate(keys):
        for (_, places), each in zip(plan.groups, slots, strict=True):
            table[number, places] = each.get(key, 0)
    return Layout(images, tuple(keys), torch.from_numpy(table), forks)


def bucket(rows: int) -> int:
    """The smallest bucket that holds `rows`; beyond the largest, `rows` itself."""
    place = bisect_left(BUCKETS, rows)
    return BUCKETS[place] if place < len(BUCKETS) else rows


def _padded(order: Sequence[int]) -> list[int]:
    return [*order, *[order[0]] * (bucket(len(order)) - len(order))]
