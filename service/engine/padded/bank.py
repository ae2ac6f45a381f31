"""Weights of many tasks on one device, in slots of fixed places, padded to classes of width.

A swap writes a slot: what a recorded graph reads stays where it is. Slots are freed when nobody holds the resident any
more, which is when the engine has evicted it and the last row in flight is answered. Only when a class runs out of
slots it moves to a larger place; `generation` tells that to those who have recorded where it was.

Weights may be written ahead (`prepare`) while a batch is computed: no batch reads a slot that is free.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from weakref import WeakKeyDictionary, finalize

import torch
from torch import Tensor

from service.engine.bank import Resident
from service.engine.padded.lanes import Lane, Wait

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

    @property
    def full(self) -> bool:
        """Whether the next slot needs a larger place."""
        return not self._free

    def take(self) -> int:
        """The number of a free slot, which is the caller's from now on; there must be one."""
        return self._free.popleft()

    def write(self, slot: int, parts: Sequence[Tensor]) -> None:
        """Write `parts`, padded with zeros."""
        for tensor, part in zip(self.tensors, parts, strict=True):
            place = tensor[slot].zero_()
            place[tuple(slice(size) for size in part.shape)].copy_(part, non_blocking=True)

    def free(self, slot: int) -> None:
        """Take a slot back."""
        self._free.append(slot)

    def grow(self) -> None:
        """Move to a place with twice as many slots."""
        slots = len(self.tensors[0])
        self.tensors = [torch.cat([tensor, torch.zeros_like(tensor)]) for tensor in self.tensors]
        self._free.extend(range(slots, 2 * slots))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task's weights lie, and what waits until they have arrived."""

    slots: dict[Key, int]
    arrived: Wait


class Bank:
    """The shelves of all sites and of the heads. One thread computes with it; any may prepare."""

    def __init__(self, *, device: torch.device, dtype: torch.dtype, lane: Lane) -> None:
        """No shelf yet; `lane` brings weights to `device` in `dtype`."""
        self._device, self._dtype, self._lane = device, dtype, lane
        self._shelves: dict[Key, Shelf] = {}
        self._places: WeakKeyDictionary[Resident, Place] = WeakKeyDictionary()
        self._lock = Lock()
        self.generation = 0

    def __getitem__(self, key: Key) -> Sequence[Tensor]:
        """Of a site `down` (S, N, M) and `up` (S, M, N); of the heads `weight` (S, K, F) and `bias` (S, K)."""
        return self._shelves[key].tensors

    @property
    def nbytes(self) -> int:
        """Bytes on the device, free slots and padding included."""
        return sum(shelf.nbytes for shelf in self._shelves.values())

    def prepare(self, resident: Resident) -> bool:
        """Begin to write a task's weights where there are free slots for them; whether they are or will be there."""
        with self._lock:
            if resident in self._places:
                return True
            shelves = [self._shelves.get(key) for key in _parts(resident)]
            if any(shelf is None or shelf.full for shelf in shelves):
                return False
            self._places[resident] = self._write(resident)
            return True

    def slots(self, resident: Resident) -> dict[Key, int]:
        """Where a task's weights lie for what the calling thread launches next; they are written if they are not."""
        with self._lock:
            place = self._places.get(resident)
            if place is None:
                self._make_room(resident)
                place = self._places[resident] = self._write(resident)
            place.arrived()
            return place.slots

    def _make_room(self, resident: Resident) -> None:
        """See to a free slot for each part."""
        parts = _parts(resident)
        for key in [key for key in parts if key not in self._shelves or self._shelves[key].full]:
            for place in self._places.values():  # what is being written there must not be left behind
                place.arrived()
            if key in self._shelves:
                self._shelves[key].grow()
                self.generation += 1
            else:
                shapes = _shapes(key, inputs=parts[key][0].shape[1])
                self._shelves[key] = Shelf(shapes, device=self._device, dtype=self._dtype)
            self._lane.settle()

    def _write(self, resident: Resident) -> Place:
        parts = _parts(resident)
        slots = {key: self._shelves[key].take() for key in parts}

        def write(block: Tensor) -> None:
            for key, slot in slots.items():
                self._shelves[key].write(slot, [_same_part(part, resident.block, block) for part in parts[key]])

        for key, slot in slots.items():
            finalize(resident, self._shelves[key].free, slot).atexit = False
        return Place(slots, self._lane.send(resident.block, write))


def _parts(resident: Resident) -> dict[Key, tuple[Tensor, Tensor]]:
    """What of a task goes to which class."""
    parts: dict[int, tuple[Tensor, Tensor]] = {HEAD: resident.head, **resident.sites}
    return {(site, width_class(len(pair[0]))): pair for site, pair in parts.items()}


def _same_part(part: Tensor, block: Tensor, copy: Tensor) -> Tensor:
    """What `part` is of `block`, of its copy."""
    return copy.as_strided(part.shape, part.stride(), part.storage_offset() - block.storage_offset())


def width_class(width: int) -> int:
    """The smallest class that holds `width` neurons, or classes of a head."""
    return WIDTHS[bisect_left(WIDTHS, width)]


def _shapes(key: Key, *, inputs: int) -> list[tuple[int, ...]]:
    site, width = key
    return [(width, inputs), (width,) if site == HEAD else (inputs, width)]
