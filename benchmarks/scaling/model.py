"""Formulas for many replicas: capacity, latency, hit rates of a memory, traffic of the store, and cost.

A replica has an engine and a front. A batch of n images takes the engine `batch + n * image` seconds. HTTP and decoding
take the front `front` seconds for each image, and `wake` more if it had nothing to do before. With one core both share
it; with more they work side by side.
"""

import math
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

HOUR = 3600.0
MILLION = 1_000_000
_ROUNDS = 200  # of bisection: more than a double can tell apart


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of a core.

    Attributes:
        image: of the engine, for each image.
        batch: of the engine, for each batch.
        front: HTTP and decoding of one image, while the front is busy anyway.
        wake: more for an image that the front has slept before: its threads are woken, with cold caches, for this image
            alone.
        measured: batches (images, seconds), the smallest first; `forward` interpolates between them. Without any,
            `batch` and `image` are a straight line.
    """

    image: float
    batch: float
    front: float
    wake: float = 0.0
    measured: tuple[tuple[float, float], ...] = ()

    def forward(self, images: float) -> float:
        """One batch."""
        if not self.measured:
            return self.batch + images * self.image
        last = len(self.measured) - 1
        right = min(last, max(1, bisect([size for size, _ in self.measured], images)))
        (low, start), (high, end) = self.measured[right - 1], self.measured[right]
        return start + (end - start) * (images - low) / (high - low)


@dataclass(frozen=True, slots=True)
class Shape:
    """One replica: its times, whether engine and front share one core, and the most images of a batch."""

    times: Times
    shared: bool = True
    most: int = 16

    def capacity(self, images: float) -> float:
        """Images a second with batches of this many images."""
        engine = self.times.forward(images) / images
        return 1 / (engine + self.times.front) if self.shared else 1 / max(engine, self.times.front)

    @property
    def limit(self) -> float:
        """Images a second with full batches; the front never sleeps then."""
        return self.capacity(self.most)

    def latency(self, rate: float) -> float:
        """Mean seconds of a request at `rate` images a second, below the limit and far from full batches.

        It knows neither `wake` nor `measured`. The bound is closed-form for one server whose batches take a linear time
        and hold all that waits. Source: Y. Inoue, Queueing analysis of GPU-based inference servers with dynamic
        batching, Performance Evaluation 147, 2021.
        """
        times = self.times
        if self.shared:  # the work for an image is done on the one core, wherever it stands in the line
            return _batched(rate, times.image + times.front, times.batch)
        front = times.front + rate * times.front**2 / (2 * (1 - rate * times.front))  # Pollaczek and Khinchine
        return front + _batched(rate, times.image, times.batch)


def _batched(rate: float, image: float, batch: float) -> float:
    load = rate * image
    low = (image + batch) / (2 * (1 - load)) * (1 + 2 * rate * batch + (1 - rate * batch) / (1 + load))
    high = 1.5 * batch / (1 - load) + image / 2 * (load + 2) / (1 - load * load)
    return min(low, high)


def zipf(tasks: int, skew: float) -> np.ndarray:
    """The popularity of each task, the most popular first; sums to 1."""
    weights: np.ndarray = np.arange(1, tasks + 1, dtype=np.float64) ** -skew
    share: np.ndarray = weights / weights.sum()
    return share


def hit_rate(popularity: np.ndarray, size: int) -> float:
    """Part of the requests that a memory of `size` tasks answers, least recently used first out.

    Source: H. Che, Y. Tung, Z. Wang, Hierarchical web caching systems, IEEE JSAC 2002.
    """
    if size >= len(popularity):
        return 1.0
    low, high = 0.0, 1.0
    while _held(popularity, high) < size:
        high *= 2
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (middle, high) if _held(popularity, middle) < size else (low, middle)
    return float((popularity * -np.expm1(-popularity * high)).sum())


def _held(popularity: np.ndarray, time: float) -> float:
    """Tasks that were asked within so many requests."""
    return float(-np.expm1(-popularity * time).sum())


@dataclass(frozen=True, slots=True)
class Store:
    """The traffic between replicas and their store: bytes of a task, and seconds between two looks at its log."""

    task_bytes: float = 100e3
    follow_seconds: float = 1.0

    def reads(self, replicas: int, *, rate: float, misses: float, changes: float) -> float:
        """Reads a second: looks at the log, each change's entry and file on each replica, and what memory misses."""
        return replicas / self.follow_seconds + 2 * changes * replicas + rate * misses

    def bytes(self, replicas: int, *, rate: float, misses: float, changes: float) -> float:
        """Bytes a second of task adapter files."""
        return self.task_bytes * (changes * replicas + rate * misses)


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars. The defaults are list prices of AWS Fargate and S3 in us-east-1; they are an assumption."""

    core_hour: float = 0.04048
    gib_hour: float = 0.004445
    read: float = 0.0004 / 1000


@dataclass(frozen=True, slots=True)
class Fleet:
    """Machines, and what a million images cost on them, in dollars."""

    cores: float
    gib: float
    per_million: float


BUSY = 0.6  # part of its limit that a replica is planned for
LEAST = 2  # replicas: one may fail


def shared_fleet(
    shape: Shape, *, rate: float, gib: float, reads: float = 0.0, prices: Prices | None = None
) -> tuple[int, Fleet]:
    """Replicas that each answer every task, and their cost.

    Args:
        shape: of a replica with one core.
        rate: images a second of all tasks.
        gib: memory of one replica.
        reads: of the store, a second.
        prices: of the machines.
    """
    replicas = max(LEAST, math.ceil(rate / (BUSY * shape.limit)))
    return replicas, _fleet(float(replicas), replicas * gib, rate=rate, reads=reads, prices=prices or Prices())


def separate_fleet(
    shape: Shape, *, tasks: int, rate: float, gib: float, process_gib: float = 0.0, prices: Prices | None = None
) -> Fleet:
    """One full model per task, twice. Batches hold one image: two requests for one task seldom wait together.

    Args:
        shape: of one core.
        tasks: models.
        rate: images a second of all tasks.
        gib: weights of one model.
        process_gib: memory of one model's own process; 0 if processes of 1 GiB for each core hold many models.
        prices: of the machines.
    """
    cores = max(float(LEAST), rate / (BUSY * shape.capacity(1)))
    memory = LEAST * tasks * (gib + process_gib) + (0.0 if process_gib else cores)
    return _fleet(cores, memory, rate=rate, reads=0.0, prices=prices or Prices())


def _fleet(cores: float, gib: float, *, rate: float, reads: float, prices: Prices) -> Fleet:
    hour = cores * prices.core_hour + gib * prices.gib_hour + reads * HOUR * prices.read
    return Fleet(cores, gib, hour / (rate * HOUR) * MILLION)


def fitted(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """`image` and `batch` of `Times` from measured batches (images, seconds): relative errors count alike."""
    images = np.array([n for n, _ in points], dtype=np.float64)
    seconds = np.array([s for _, s in points], dtype=np.float64)
    slope, start = np.polyfit(images, seconds, 1, w=1 / seconds)
    return float(slope), max(0.0, float(start))
