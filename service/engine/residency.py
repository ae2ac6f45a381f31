"""The weights of many tasks in two tiers of memory: on the device, ready for a forward pass, and packed on the host.

A row of a batch holds its task's `Resident` itself, so an evicted task stays whole for as long as work in flight
points to it, no pin can leak, and it comes back by a pointer where it is wanted again meanwhile. A content lies in one
tier at a time: what goes from the device is packed again, and what comes back to it leaves the host. Knows bytes and
contents (by SHA-256); knows neither task names nor versions, nor the store below.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from threading import Lock
from weakref import WeakValueDictionary

from service.engine.bank import Packed, Resident, pack, place
from service.engine.tier import Tier, TierUsage

GIBIBYTE = 2**30


@dataclass(frozen=True, slots=True)
class Budgets:
    """Most bytes of adapters and heads, by tier; a tier of none keeps only what is pinned or in flight."""

    device: int = 4 * GIBIBYTE
    host: int = 2 * GIBIBYTE


@dataclass(frozen=True, slots=True)
class Usage:
    """What the device holds: `tasks` and their `nbytes`, and what evicted tasks still occupy for work in flight."""

    tasks: int
    nbytes: int
    lingering: int
    lingering_bytes: int


class Residency:
    """Contents by SHA-256, each held once however many tasks name it. Thread-safe."""

    def __init__(self, budgets: Budgets | None = None) -> None:
        budgets = budgets or Budgets()
        self._device, self._host = Tier[Resident](budgets.device), Tier[Packed](budgets.host)
        self._lock = Lock()  # guards `_evicted`, whose entries vanish by themselves
        self._evicted: WeakValueDictionary[str, Resident] = WeakValueDictionary()

    def get(self, sha256: str) -> Resident | None:
        """The resident of this content, or None: it is not on the device."""
        lingers = None if self._device.peek(sha256) else self._lingering(sha256)
        if lingers is not None:
            self.put(lingers)
        return self._device.get(sha256) or lingers

    def peek(self, sha256: str) -> Resident | None:
        """As `get`, unseen: nothing moves, nothing is counted."""
        return self._device.peek(sha256)

    def restore(self, sha256: str) -> Resident | None:
        """Bring a content from the host to the device; None: it is not on the host."""
        if self._host.get(sha256) is None or (packed := self._host.take(sha256)) is None:
            return None
        return self.put(place(packed))

    def put(self, resident: Resident) -> Resident:
        """Keep `resident`, whatever must go for it; returns the one already there where the content is not new."""
        self._host.take(resident.sha256)
        kept, gone = self._device.put(resident)
        for each in gone:
            with self._lock:
                self._evicted[each.sha256] = each
            self._host.put(pack(each))
        return kept

    def offer(self, packed: Packed) -> tuple[Resident, bool]:
        """Keep a content in the highest tier that has room for it, so that nothing goes for it.

        Returns:
            The content, and whether it is kept.
        """
        resident, gone = self._device.put(place(packed), evicting=False)
        kept = not gone or not self._host.put(packed, evicting=False)[1]
        return resident, kept

    def evict(self, sha256: str) -> int:
        """Let go of this content; returns its bytes on the device, 0 where it is not there.

        The memory is free once the last row in flight that points to it is answered.
        """
        self._host.take(sha256)
        resident = self._device.take(sha256)
        if resident is None:
            return 0
        with self._lock:
            self._evicted[sha256] = resident
        return resident.nbytes

    def pin(self, names: Collection[str]) -> None:
        """Let these contents, and no others, never go from the device for want of room."""
        self._device.pin(names)

    def usage(self) -> Usage:
        """Tasks and bytes on the device now."""
        with self._lock:
            evicted = list(self._evicted.items())
        lingering = [each for name, each in evicted if self._device.peek(name) is None and not self._packed(each)]
        held = self._device.usage()
        return Usage(held.tasks, held.nbytes, len(lingering), _bytes(lingering))

    def tiers(self) -> dict[str, TierUsage]:
        """What each tier holds and did, by its name."""
        return {"device": self._device.usage(), "host": self._host.usage()}

    def _lingering(self, sha256: str) -> Resident | None:
        with self._lock:
            return self._evicted.get(sha256)

    def _packed(self, resident: Resident) -> bool:
        """Whether the host tier holds, and counts, the very block of a resident."""
        packed = self._host.peek(resident.sha256)
        return packed is not None and packed.block.data_ptr() == resident.block.data_ptr()


def _bytes(residents: Sequence[Resident]) -> int:
    return sum(resident.nbytes for resident in residents)
