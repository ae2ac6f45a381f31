"""The weights of many tasks, resident at once: adapters of live sites and heads, ready for a forward pass.

A row of a batch holds its task's `Resident` itself, so an evicted task stays whole for as long as work in flight
points to it, and no pin can leak. Knows bytes and contents (by SHA-256); knows neither task names nor versions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from weakref import WeakSet

import numpy as np
import torch
from torch import Tensor

from adapters_store import TaskAdapter
from backbone import SiteWeights
from service.engine.accounting import Cost


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Resident:
    """One task's weights as they lie in memory, float32 in one block; compared by identity.

    Attributes:
        sha256: hash of the artifact the weights came from.
        sites: adapters of the live sites: `down` (N, M), `up` (M, N). Removed sites are absent.
        head: weight (K, F) and bias (K).
        first_site: the first live site, where its rows leave the trunk; the number of sites where none is live.
        cost: FLOPs of one image, alone.
        nbytes: bytes of the block.
    """

    sha256: str
    sites: Mapping[int, SiteWeights]
    head: tuple[Tensor, Tensor]
    first_site: int
    cost: Cost
    nbytes: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a bank holds: `tasks` and their `nbytes`, and what evicted tasks still occupy for work in flight."""

    tasks: int
    nbytes: int
    lingering: int
    lingering_bytes: int


class Bank:
    """Residents by SHA-256, one per content however many tasks name it. Thread-safe; locked for pointer moves only."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._residents: dict[str, Resident] = {}
        self._evicted: WeakSet[Resident] = WeakSet()

    def get(self, sha256: str) -> Resident | None:
        """The resident of this content, or None."""
        with self._lock:
            return self._residents.get(sha256)

    def put(self, resident: Resident) -> Resident:
        """Keep `resident`; returns the one already there where the content is not new."""
        with self._lock:
            return self._residents.setdefault(resident.sha256, resident)

    def evict(self, sha256: str) -> int:
        """Let go of this content; returns its bytes, 0 where it is not resident.

        The memory is free once the last row in flight that points to it is answered.
        """
        with self._lock:
            resident = self._residents.pop(sha256, None)
            if resident is None:
                return 0
            self._evicted.add(resident)
            return resident.nbytes

    def usage(self) -> Usage:
        """Tasks and bytes held now."""
        with self._lock:
            held, lingering = list(self._residents.values()), list(self._evicted)
        return Usage(len(held), _bytes(held), len(lingering), _bytes(lingering))


def _bytes(residents: Sequence[Resident]) -> int:
    return sum(resident.nbytes for resident in residents)


def load(adapter: TaskAdapter, sha256: str, cost: Cost) -> Resident:
    """Copy a task adapter's arrays, in float32, into one block of memory."""
    live = sorted(adapter.sites)
    arrays = [adapter.head_weight, adapter.head_bias]
    for index in live:
        arrays += [adapter.sites[index].down, adapter.sites[index].up]
    block, (weight, bias, *tensors) = _copy(arrays)
    pairs = zip(tensors[::2], tensors[1::2], strict=True)
    sites = {index: SiteWeights(down, up) for index, (down, up) in zip(live, pairs, strict=True)}
    first = min(live, default=len(adapter.manifest.widths))
    return Resident(sha256, sites, (weight, bias), first, cost, block.nbytes)


def _copy(arrays: Sequence[np.ndarray]) -> tuple[Tensor, list[Tensor]]:
    """One float32 block, and views of it that hold copies of `arrays` in their shapes."""
    block = torch.empty(sum(array.size for array in arrays))
    views = []
    for array, part in zip(arrays, torch.split(block, [array.size for array in arrays]), strict=True):
        view = part.view(array.shape)
        np.copyto(view.numpy(), array)  # through NumPy: the arrays are read-only, which torch warns about
        views.append(view)
    return block, views
