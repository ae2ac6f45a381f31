"""What of a working set stays in memory, by the server's rule and by that of the least recently used."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from service.engine.cache import S3Fifo

CAPACITY, SCANNED = 100, 10_000


def kept() -> Mapping[str, Mapping[str, float]]:
    """Hit rates, against those of the least recently used."""
    working = [f"hot {index}" for index in range(CAPACITY + 1)]
    scan = [*working[: CAPACITY * 9 // 10] * 4, *(f"cold {index}" for index in range(SCANNED))]
    loop = working * 40
    policies: dict[str, Callable[[], Callable[[str], bool]]] = {"s3fifo": _s3fifo, "lru": _lru}
    return {
        name: {
            "working_set_after_a_scan": _rate(policy(), [*scan, *working[: CAPACITY * 9 // 10]], CAPACITY * 9 // 10),
            "working_set_one_too_large": _rate(policy(), loop, len(loop) // 2),
        }
        for name, policy in policies.items()
    }


def _s3fifo() -> Callable[[str], bool]:
    eviction = S3Fifo(CAPACITY)

    def ask(name: str) -> bool:
        if there := name in eviction:
            eviction.use(name)
        else:
            eviction.add(name, 1)
        return there

    return ask


def _lru() -> Callable[[str], bool]:
    held: OrderedDict[str, None] = OrderedDict()

    def ask(name: str) -> bool:
        there = name in held
        held[name] = None
        held.move_to_end(name)
        if len(held) > CAPACITY:
            held.popitem(last=False)
        return there

    return ask


def _rate(ask: Callable[[str], bool], names: Sequence[str], last: int) -> float:
    """Share of the last requests that found what they asked for."""
    return sum([ask(name) for name in names][-last:]) / last
