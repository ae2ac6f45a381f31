"""Weights of many tasks on one device, in slots of fixed places, padded to classes of width.

A swap writes a slot: what a recorded graph reads stays where it is. Slots are freed when nobody holds the resident any
more, which is when the engine has evicted it and the last row in flight is answered. Only when a class runs out of
slots it moves to a larger place; `generation` tells that to those who have recorded where it was.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from weakref import WeakKeyDictionary, finalize

import torch
from torch import Tensor

from service.engine.bank import Resident

WIDTHS = (4, 16, 64, 256, 1024, 4096, 16384)  # a class holds what is at most so wide
FIRST_SLOTS = 16  # of a class when it is first needed
Key = tuple[int, int]  # site (HEAD: the head) and width of the class
HEAD = -1


class Shelf:
    """All members of one class: tensors of slots, of which slot 0 is all zeros."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], *, device: torch.device, dtype: torch.dtype) -> None:
        """One tensor (slots, *shape) for each shape."""
        self.tensors = [torch.zeros(FIRST_SLOTS, *shape, device=device, dtype=dtype) for shape in shapes]
        self._free = deque(range(1, FIRST_SLOTS))  # appended to by finalizers, in any thread

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        return sum(tensor.nbytes for tensor in self.tensors)

    def put(self, parts: Sequence[Tensor]) -> int:
        """Write `parts`, padded with zeros, into a free slot; returns its number."""
        if not self._free:
            self._grow()
        slot = self._free.popleft()
        for tensor, part in zip(self.tensors, parts, strict=True):
            place = tensor[slot].zero_()
            place[tuple(slice(size) for size in part.shape)].copy_(part, non_blocking=True)
        return slot

    def free(self, slot: int) -> None:
        """Take a slot back."""
        self._free.append(slot)

    def _grow(self) -> None:
        slots = len(self.tensors[0])
        self.tensors = [torch.cat([tensor, torch.zeros_like(tensor)]) for tensor in self.tensors]
        self._free.extend(range(slots, 2 * slots))


class Bank:
    """The shelves of all sites and of the heads."""

    def __init__(self, *, device: torch.device, dtype: torch.dtype) -> None:
        self._device, self._dtype = device, dtype
        self._shelves: dict[Key, Shelf] = {}
        self._slots: WeakKeyDictionary[Resident, dict[Key, int]] = WeakKeyDictionary()
        self.generation = 0

    def __getitem__(self, key: Key) -> Sequence[Tensor]:
        """Of a site `down` (S, N, M) and `up` (S, M, N); of the heads `weight` (S, K, F) and `bias` (S, K)."""
        return self._shelves[key].tensors

    @property
    def nbytes(self) -> int:
        """Bytes on the device, free slots and padding included."""
        return sum(shelf.nbytes for shelf in self._shelves.values())

    def slots(self, resident: Resident) -> dict[Key, int]:
        """Where a task's weights lie; they are written now if they are not there."""
        slots = self._slots.get(resident)
        if slots is None:
            slots = self._slots[resident] = self._write(resident)
            for key, slot in slots.items():
                finalize(resident, self._shelves[key].free, slot).atexit = False
        return slots

    def _write(self, resident: Resident) -> dict[Key, int]:
        parts: dict[int, tuple[Tensor, Tensor]] = {HEAD: resident.head, **resident.sites}
        return dict(self._put(site, tensors) for site, tensors in parts.items())

    def _put(self, site: int, parts: tuple[Tensor, Tensor]) -> tuple[Key, int]:
        key = (site, width_class(len(parts[0])))
        if key not in self._shelves:
            shapes = _shapes(site, key[1], inputs=parts[0].shape[1])
            self._shelves[key] = Shelf(shapes, device=self._device, dtype=self._dtype)
        before = self._shelves[key].tensors
        slot = self._shelves[key].put(parts)
        self.generation += self._shelves[key].tensors is not before
        return key, slot


def width_class(width: int) -> int:
    """The smallest class that holds `width` neurons, or classes of a head."""
    return WIDTHS[bisect_left(WIDTHS, width)]


def _shapes(site: int, width: int, *, inputs: int) -> list[tuple[int, ...]]:
    return [(width, inputs), (width,) if site == HEAD else (inputs, width)]
