"""Adapter weights in a device's own memory: a slab allocator with a budget of bytes.

Weights are padded to size classes of width. Each class of each site has a slab: tensors of equal slots (Bonwick, The
slab allocator, USENIX 1994). A task occupies one slot in each of its classes. So a swap writes a slot, and the tensors
that a recorded graph reads stay in place. A slab that runs out of slots moves to larger tensors. Then `generation`
changes, and recordings of the old tensors are dropped.

The budget counts all bytes of the bank's tensors, padding and free slots included. Beyond it, the least recently used
tasks leave the bank. They stay in the host's memory and are copied again when they are needed. Only the tasks of one
batch, and pinned ones, may exceed the budget. LRU is enough here. A miss costs one copy of some 100 KB from the host's
memory, and the cache above already decides which tasks are worth keeping.

Weights may be copied ahead (`prepare`) while a batch is computed: no batch reads a free slot.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol
from weakref import WeakKeyDictionary, finalize

import numpy as np
import torch
from torch import Tensor

from service.engine.cache import TierUsage
from service.engine.weights import Resident

WIDTHS = (4, 16, 64, 256, 1024, 4096, 16384)  # a class holds adapters of at most this width
FIRST_SLOTS = 16  # of a slab when it is first needed, slot 0 included
Key = tuple[int, int]  # site (HEAD: the head) and width of the class
HEAD = -1

Write = Callable[[Tensor], None]
Wait = Callable[[], object]


class Transfer(Protocol):
    """Copies weights to one device. Not thread-safe."""

    def send(self, block: Tensor, write: Write) -> Wait:
        """Copy a `block` from the host to the device, and let `write` copy it into its slots there.

        Returns:
            A function: launches of the calling thread after a call of it wait until the slots are written.
        """
        ...

    def fence(self) -> None:
        """Let all later copies wait for earlier launches of the calling thread, which has moved the slots."""
        ...


class Blocking:
    """Copies in the calling thread, at once."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def send(self, block: Tensor, write: Write) -> Wait:
        """The slots are written when it returns."""
        write(block.to(self._device))
        return _nothing

    def fence(self) -> None:
        """Does nothing: no copy is pending."""


class Overlapped:
    """Copies on a CUDA stream of its own, from pinned memory, beside the batch that is being computed."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._stream = device, torch.cuda.Stream(device)

    def send(self, block: Tensor, write: Write) -> Wait:
        """The copy is launched when it returns."""
        with torch.cuda.stream(self._stream):
            write(block.pin_memory().to(self._device, non_blocking=True))
            wait: Wait = self._stream.record_event().wait
        return wait

    def fence(self) -> None:
        """As `Transfer.fence`."""
        self._stream.wait_stream(torch.cuda.current_stream(self._device))


def _nothing() -> None:
    """There is nothing to wait for."""


class Slab:
    """The slots of one size class: tensors (slots, *shape). Slot 0 is all zeros and belongs to no task."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], *, device: torch.device, dtype: torch.dtype) -> None:
        """One tensor for each shape, with slot 0 only."""
        self.tensors = [torch.zeros(1, *shape, device=device, dtype=dtype) for shape in shapes]
        self.slot_bytes = sum(tensor.nbytes for tensor in self.tensors)
        self._free = deque[int]()

    def __len__(self) -> int:
        return len(self.tensors[0])

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        return len(self) * self.slot_bytes

    @property
    def full(self) -> bool:
        """Whether there is no free slot."""
        return not self._free

    def take(self) -> int:
        """Take a free slot and return its number; there must be one."""
        return self._free.popleft()

    def write(self, slot: int, parts: Sequence[Tensor]) -> None:
        """Write `parts`, padded with zeros and rounded to the slab's dtype."""
        for tensor, part in zip(self.tensors, parts, strict=True):
            padded = tensor[slot].zero_()
            padded[tuple(slice(size) for size in part.shape)].copy_(part, non_blocking=True)

    def free(self, slot: int) -> None:
        """Take a slot back."""
        self._free.append(slot)

    def grow(self, slots: int) -> None:
        """Move to larger tensors, with this many more slots."""
        self._free.extend(range(len(self), len(self) + slots))
        self.tensors = [torch.cat([t, t.new_zeros(slots, *t.shape[1:])]) for t in self.tensors]

    def compact(self, used: Sequence[int]) -> None:
        """Move the slots `used` to 1, 2, …, and give up all others."""
        kept = torch.from_numpy(np.array([0, *used])).to(self.tensors[0].device)
        self.tensors = [tensor.index_select(0, kept) for tensor in self.tensors]
        self._free.clear()


@dataclass(slots=True, eq=False)
class Placement:
    """The slots of a task's weights, and a function that waits until they are written."""

    slots: dict[Key, int]
    arrived: Wait = field(default=_nothing)
    on_release: "finalize[[Placement], Resident] | None" = None


class Bank:
    """The slabs of all sites and of the heads. One thread computes with it; any may prepare."""

    def __init__(self, *, device: torch.device, dtype: torch.dtype, transfer: Transfer, budget: int) -> None:
        """No slab yet.

        Args:
            device: where the slabs lie.
            dtype: of adapters; heads are kept in float32.
            transfer: copies weights to `device`.
            budget: most bytes on the device; what one batch needs, and what is pinned, may exceed it.
        """
        self._device, self._dtype, self._transfer, self._budget = device, dtype, transfer, budget
        self._slabs: dict[Key, Slab] = {}
        self._placed: WeakKeyDictionary[Resident, Placement] = WeakKeyDictionary()  # least recently used first
        self._placements: set[Placement] = set()  # all that own slots; some residents may be gone
        self._released = deque[Placement]()  # of residents that are gone; appended to by finalizers, in any thread
        self._pinned: Collection[str] = frozenset()
        self._lock = Lock()
        self._hits = self._misses = self._evictions = 0
        self.generation = 0

    def __getitem__(self, key: Key) -> Sequence[Tensor]:
        """Of a site `down` (S, N, M) and `up` (S, M, N); of the heads `weight` (S, K, F) and `bias` (S, K)."""
        return self._slabs[key].tensors

    @property
    def nbytes(self) -> int:
        """Bytes on the device, free slots and padding included."""
        return sum(slab.nbytes for slab in list(self._slabs.values()))

    def usage(self) -> TierUsage:
        """The contents of the device, and the counts since the start."""
        with self._lock:
            pinned = sum(resident.sha256 in self._pinned for resident in list(self._placed))
            counts = (self._hits, self._misses, self._evictions)
            return TierUsage(len(self._placed), self.nbytes, self._budget, pinned, *counts)

    def pin(self, hashes: Collection[str]) -> None:
        """Never evict these contents for want of room; replaces the earlier set."""
        with self._lock:
            self._pinned = hashes

    def prepare(self, resident: Resident) -> bool:
        """Start to copy a task's weights if there are free slots. Returns whether they are or will be there."""
        with self._lock:
            self._reclaim()
            if resident in self._placed:
                return True
            slabs = [self._slabs.get(key) for key in _parts(resident)]
            if any(slab is None or slab.full for slab in slabs):
                return False
            self._write(resident, self._reserve(resident))
            return True

    def slots(self, residents: Sequence[Resident]) -> list[Mapping[Key, int]]:
        """The slots of each task of a batch, by class. Missing weights are copied.

        Later launches of the calling thread wait for the copies.
        """
        with self._lock:
            self._reclaim()
            batch = set(residents)
            for resident in residents:
                self._use(resident, batch)
            if self.nbytes > self._budget and next(self._evictable(batch), None):  # an earlier batch needed more
                self._shrink(0, batch)
            placements = [self._placed[resident] for resident in residents]
            for placement in placements:
                placement.arrived()
            return [placement.slots for placement in placements]

    def _use(self, resident: Resident, batch: Collection[Resident]) -> None:
        """Make a task the most recently used one, on the device."""
        placement = self._placed.pop(resident, None)
        if placement is not None:
            self._hits += 1
            self._placed[resident] = placement
            return
        self._misses += 1
        self._write(resident, self._reserve(resident, batch))

    def _reserve(self, resident: Resident, batch: Collection[Resident] = ()) -> Placement:
        """Take a slot in each class of a task, and make room if there is none."""
        placement = Placement({})
        self._placements.add(placement)  # so that slots reserved already move with the others
        try:
            for key, pair in _parts(resident).items():
                if key not in self._slabs:
                    self._slabs[key] = self._slab(key, inputs=pair[0].shape[1])
                if self._slabs[key].full:
                    self._make_room(key, batch)
                placement.slots[key] = self._slabs[key].take()
        except BaseException:  # the device may have no memory left: then the row fails, and its slots are free again
            self._free(placement)
            raise
        return placement

    def _slab(self, key: Key, *, inputs: int) -> Slab:
        site, width = key
        shapes = [(width, inputs), (width,) if site == HEAD else (inputs, width)]
        return Slab(shapes, device=self._device, dtype=torch.float32 if site == HEAD else self._dtype)

    def _make_room(self, key: Key, batch: Collection[Resident]) -> None:
        """Free at least one slot of a class: by growth within the budget, by evictions, or by growth beyond it."""
        slab = self._slabs[key]
        affordable = (self._budget - self.nbytes) // slab.slot_bytes
        if affordable < 1:
            holder = next((each for each in self._evictable(batch) if key in self._placed[each].slots), None)
            if holder is not None:
                self._evict(holder)
                return
            self._shrink(slab.slot_bytes, batch)
            affordable = 1
        slots = min(affordable, max(FIRST_SLOTS - 1, len(slab)))
        self._move(lambda: slab.grow(slots), recorded=len(slab) > 1)

    def _evictable(self, batch: Collection[Resident]) -> Iterator[Resident]:
        """Tasks that may leave, least recently used first."""
        return (each for each in list(self._placed) if each not in batch and each.sha256 not in self._pinned)

    def _evict(self, resident: Resident) -> None:
        placement = self._placed.pop(resident)
        if placement.on_release is not None:
            placement.on_release.detach()
        self._free(placement)
        self._evictions += 1

    def _shrink(self, needed: int, batch: Collection[Resident]) -> None:
        """Give up free slots of all classes, and evict tasks until `needed` more bytes fit."""
        used = sum(self._slabs[key].slot_bytes for each in self._placements for key in each.slots)
        used += sum(slab.slot_bytes for slab in self._slabs.values())
        for resident in self._evictable(batch):
            if used + needed <= self._budget:
                break
            used -= sum(self._slabs[key].slot_bytes for key in self._placed[resident].slots)
            self._evict(resident)
        self._move(self._compact)

    def _compact(self) -> None:
        for key, slab in self._slabs.items():
            holders = [each for each in self._placements if key in each.slots]
            slab.compact([each.slots[key] for each in holders])
            for slot, holder in enumerate(holders, 1):
                holder.slots[key] = slot

    def _move(self, change: Callable[[], None], *, recorded: bool = True) -> None:
        """Change where slots lie: earlier copies have to arrive first, and later ones have to wait for it.

        `recorded` says whether a batch may have read the old place.
        """
        for placement in self._placements:
            placement.arrived()
        change()
        self.generation += recorded
        self._transfer.fence()

    def _write(self, resident: Resident, placement: Placement) -> None:
        """Start to copy a task's weights to its slots."""
        parts, original = _parts(resident), resident.block
        targets = [(self._slabs[key], slot, parts[key]) for key, slot in placement.slots.items()]

        def write(block: Tensor) -> None:
            for slab, slot, pair in targets:
                slab.write(slot, [_same_part(part, original, block) for part in pair])

        placement.arrived = self._transfer.send(original, write)
        placement.on_release = finalize(resident, self._released.append, placement)
        placement.on_release.atexit = False
        self._placed[resident] = placement

    def _reclaim(self) -> None:
        """Free the slots of residents that are gone: evicted above, and the last row in flight is answered."""
        while self._released:
            self._free(self._released.popleft())

    def _free(self, placement: Placement) -> None:
        self._placements.discard(placement)
        for key, slot in placement.slots.items():
            self._slabs[key].free(slot)


def _parts(resident: Resident) -> dict[Key, tuple[Tensor, Tensor]]:
    """The matrices of a task, by size class."""
    parts: dict[int, tuple[Tensor, Tensor]] = {HEAD: resident.head, **resident.sites}
    return {(site, width_class(len(pair[0]))): pair for site, pair in parts.items()}


def _same_part(part: Tensor, block: Tensor, copy: Tensor) -> Tensor:
    """The same part of a copy of `block` as `part` is of the block itself."""
    return copy.as_strided(part.shape, part.stride(), part.storage_offset() - block.storage_offset())


def width_class(width: int) -> int:
    """The smallest class that holds `width` neurons, or classes of a head."""
    return WIDTHS[bisect_left(WIDTHS, width)]
