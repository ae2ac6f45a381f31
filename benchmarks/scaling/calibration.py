"""The times of a real replica, from processor time alone: no latency is used, so latencies can be predicted.

A request costs a replica with little to do more than a busy one: its threads are woken for it, and find cold caches. So
the times come from three loads: requests at random times far below the limit, a few clients, and batches of the
largest size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.scaling.model import Shape, Times, fitted
from benchmarks.scaling.simulation import Load, simulate

_STEPS = 4  # the number of wakes depends on the times, but little


@dataclass(frozen=True, slots=True)
class Spent:
    """Processor time of a load.

    Attributes:
        requests: of one image each, that were answered.
        batches: that held them.
        engine: seconds of the engine's thread.
        front: seconds of all other threads, and of the client.
    """

    requests: int
    batches: float
    engine: float
    front: float

    @property
    def batch(self) -> tuple[float, float]:
        """The mean batch: images, seconds."""
        return self.requests / self.batches, self.engine / self.batches

    @property
    def seconds(self) -> float:
        """Of a request, in the whole."""
        return (self.engine + self.front) / self.requests


def calibrated(loads: Sequence[tuple[Load, Spent]], largest: tuple[int, float]) -> Times:
    """The times that explain what two loads have spent, the one with more wakes first.

    Args:
        loads: one that leaves the front asleep at times, and one that seldom does.
        largest: a full batch: images, seconds.
    """
    points = sorted([*(spent.batch for _, spent in loads), largest])
    image, batch = fitted(points)
    fronts = [spent.front / spent.requests for _, spent in loads]
    times = Times(image, batch, fronts[-1], measured=tuple(points))
    for _ in range(_STEPS):
        often, seldom = (woken(times, load) for load, _ in loads)
        wake = max(0.0, (fronts[0] - fronts[1]) / (often - seldom)) if often > seldom else 0.0
        times = replace(times, front=fronts[1] - wake * seldom, wake=wake)
    return times


def woken(times: Times, load: Load) -> float:
    """Part of the requests that wake the front."""
    found = simulate(Shape(times), load)
    return found.woken / found.asked
