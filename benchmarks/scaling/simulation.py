"""Replicas by discrete events: arrivals, popularity, fronts, memories, batches. One seed gives one result.

It computes what the formulas of `model` approximate: how batches fill, how long requests wait, and what happens while
weights are loaded. While both have work, the front has two thirds of a core that they share (processor
sharing by threads).
"""

import heapq
import math
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import numpy as np

from benchmarks.scaling.model import Shape, zipf

_DONE = 1e-12  # seconds of work
_FRONT_SHARE = 2 / 3  # of a core that both want: the event loop and a decoder are two threads, the engine is one


@dataclass(frozen=True, slots=True)
class Memory:
    """Where a replica's weights lie: tasks that fit on its device and in its host's memory, and seconds of a load.

    Attributes:
        tasks: that are asked.
        skew: of their popularity, Zipf's exponent; 0: all alike.
        device: tasks that fit beside the engine.
        host: tasks that fit below.
        from_host: seconds to bring a task from the host.
        from_store: seconds to bring a task from the store.
        loaders: loads from the store at once.
    """

    tasks: int = 1
    skew: float = 1.0
    device: int = 1
    host: int = 0
    from_host: float = 0.0005
    from_store: float = 0.02
    loaders: int = 2


@dataclass(frozen=True, slots=True)
class Load:
    """Requests of one image each: `rate` a second at random times, or `clients` that each wait for their answer.

    `due`, if there are any, are the times at which requests come, instead of random ones.
    """

    seconds: float
    rate: float = 0.0
    clients: int = 0
    warmup: float = 1.0
    due: tuple[float, ...] = ()


@dataclass(slots=True, eq=False)
class Asked:
    """A request."""

    born: float
    task: int
    home: int = 0


@dataclass(slots=True)
class Counts:
    """Everything that was seen after the warm-up."""

    latencies: list[float] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    asked: int = 0
    woken: int = 0  # requests that a sleeping front was woken for
    from_host: int = 0
    from_store: int = 0

    def per_second(self, seconds: float) -> float:
        """Answers a second."""
        return len(self.latencies) / seconds

    def percentile(self, share: float) -> float:
        """Seconds within which this share of the requests was answered."""
        ordered = sorted(self.latencies)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    @property
    def mean_batch(self) -> float:
        """Images of a batch."""
        return sum(self.batches) / len(self.batches)


class Clock:
    """Calls what is due, in the order of time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = 0

    def at(self, time: float, call: Callable[[], None]) -> None:
        """Call at a time that is not over."""
        self._numbers += 1
        heapq.heappush(self._due, (time, self._numbers, call))

    def run(self, end: float) -> None:
        """Let time pass."""
        while self._due and self._due[0][0] <= end:
            self.now, _, call = heapq.heappop(self._due)
            call()


class Weights:
    """The memories of one replica, each with the least recently used task first out."""

    def __init__(self, memory: Memory) -> None:
        self._sizes = memory.device, memory.host
        self._tiers: tuple[OrderedDict[int, None], ...] = (OrderedDict(), OrderedDict())

    def warm(self, tasks: int) -> None:
        """Hold the most popular tasks, as after a long time."""
        for task in reversed(range(tasks)):
            self.put(task)

    def find(self, task: int) -> int:
        """The highest tier that holds a task: 0 the device, 1 the host, 2 none. It is used now."""
        for number, tier in enumerate(self._tiers):
            if task in tier:
                tier.move_to_end(task)
                return number
        return len(self._tiers)

    def put(self, task: int) -> None:
        """Hold a task in every tier."""
        for tier, size in zip(self._tiers, self._sizes, strict=True):
            tier[task] = None
            tier.move_to_end(task)
            while len(tier) > size:
                tier.popitem(last=False)


class Replica:
    """One server: front, memory, engine."""

    def __init__(self, clock: Clock, shape: Shape, memory: Memory, *, window: float, counts: Counts) -> None:
        """`window` is the time for which a batch waits for more images."""
        self._clock, self._shape, self._memory, self._window = clock, shape, memory, window
        self._weights, self.counts = Weights(memory), counts
        self._weights.warm(min(memory.tasks, max(memory.device, memory.host)))
        self._front: deque[Asked] = deque()
        self._queue: deque[tuple[float, Asked]] = deque()  # since when, and the request
        self._batch: list[Asked] = []
        self._left = [0.0, 0.0]  # seconds of work: of the front's first request, of the batch
        self._seen, self._version = 0.0, 0
        self._loading: dict[int, list[Asked]] = {}
        self._loads: deque[int] = deque()  # from the store, that wait for a loader
        self._loaders = memory.loaders
        self.outstanding = 0
        self.answered: Callable[[Asked], None] = lambda asked: None

    def ask(self, asked: Asked) -> None:
        """A request arrives."""
        self._advance()
        self.outstanding += 1
        self._front.append(asked)
        if len(self._front) == 1:
            self._left[0] = self._shape.times.front + self._shape.times.wake
            self.counts.woken += 1
        self._go_on()

    def _speeds(self) -> tuple[float, float]:
        """Parts of a core that front and engine have now."""
        if self._shape.shared and self._front and self._batch:
            return _FRONT_SHARE, 1 - _FRONT_SHARE
        return float(bool(self._front)), float(bool(self._batch))

    def _advance(self) -> None:
        """Do the work of the time that has passed."""
        passed, self._seen = self._clock.now - self._seen, self._clock.now
        self._left = [left - passed * speed for left, speed in zip(self._left, self._speeds(), strict=True)]

    def _go_on(self) -> None:
        """Begin a batch if the engine is free, and see when the next work is done."""
        if not self._batch and self._queue:
            self._begin()
        self._version += 1
        version, pairs = self._version, zip(self._left, self._speeds(), strict=True)
        times = [max(0.0, left) / speed for left, speed in pairs if speed]
        if times:
            self._clock.at(self._clock.now + min(times), lambda: self._work_done(version))

    def _begin(self) -> None:
        since = self._queue[0][0]
        if len(self._queue) < self._shape.most and self._clock.now < since + self._window:
            self._clock.at(since + self._window, self._look)
            return
        count = min(len(self._queue), self._shape.most)
        self._batch = [self._queue.popleft()[1] for _ in range(count)]
        self._left[1] = self._shape.times.forward(count)
        self.counts.batches.append(count)

    def _look(self) -> None:
        self._advance()
        self._go_on()

    def _work_done(self, version: int) -> None:
        if version != self._version:
            return
        self._advance()
        if self._front and self._left[0] <= _DONE:
            asked = self._front.popleft()
            self._left[0] = self._shape.times.front
            self._want(asked)
        answered: list[Asked] = []
        if self._batch and self._left[1] <= _DONE:
            answered, self._batch = self._batch, []
        self._go_on()
        for asked in answered:
            self.outstanding -= 1
            self.answered(asked)

    def _want(self, asked: Asked) -> None:
        """Queue a request, or bring its task's weights first; all requests for a task wait for one load."""
        tier = self._weights.find(asked.task)
        self.counts.asked += 1
        if asked.task in self._loading:
            self._loading[asked.task].append(asked)
        elif tier == 0:
            self._queue.append((self._clock.now, asked))
        elif tier == 1:
            self.counts.from_host += 1
            self._loading[asked.task] = [asked]
            self._clock.at(self._clock.now + self._memory.from_host, lambda: self._loaded(asked.task))
        else:
            self.counts.from_store += 1
            self._loading[asked.task] = [asked]
            self._loads.append(asked.task)
            self._load()

    def _load(self) -> None:
        while self._loaders and self._loads:
            self._loaders -= 1
            task = self._loads.popleft()
            self._clock.at(self._clock.now + self._memory.from_store, lambda task=task: self._fetched(task))  # type: ignore[misc]

    def _fetched(self, task: int) -> None:
        self._loaders += 1
        self._load()
        self._loaded(task)

    def _loaded(self, task: int) -> None:
        self._advance()
        self._weights.put(task)
        self._queue.extend((self._clock.now, asked) for asked in self._loading.pop(task))
        self._go_on()


class Balancer:
    """Sends each request to a replica: the one with the fewest under way, or, of two clients, each to its own."""

    def __init__(self, replicas: list[Replica], *, own: bool) -> None:
        self._replicas, self._own, self._turn = replicas, own, 0

    def send(self, asked: Asked) -> None:
        """Choose and ask."""
        self._turn += 1
        count = len(self._replicas)
        if self._own:
            self._replicas[asked.home % count].ask(asked)
            return
        order = [self._replicas[(self._turn + step) % count] for step in range(count)]
        min(order, key=lambda replica: replica.outstanding).ask(asked)


def simulate(
    shape: Shape, load: Load, *, replicas: int = 1, memory: Memory | None = None, window: float = 0.0, seed: int = 0
) -> Counts:
    """Let a load come to replicas; what was seen after its warm-up."""
    memory, clock, dice = memory or Memory(), Clock(), Random(seed)
    counts = [Counts() for _ in range(replicas)]
    servers = [Replica(clock, shape, memory, window=window, counts=each) for each in counts]
    balancer, draw = Balancer(servers, own=bool(load.clients)), _drawing(memory, seed)
    latencies: list[float] = []

    def answered(asked: Asked) -> None:
        if asked.born >= load.warmup and clock.now <= load.warmup + load.seconds:
            latencies.append(clock.now - asked.born)
        if load.clients:
            balancer.send(Asked(clock.now, draw(), asked.home))

    for server in servers:
        server.answered = answered
    if load.clients:
        for client in range(load.clients):
            born = client * shape.times.front / load.clients  # not all at once
            clock.at(born, lambda born=born, client=client: balancer.send(Asked(born, draw(), client)))  # type: ignore[misc]
    else:
        _arrive(clock, balancer, load, dice=dice, draw=draw)
    clock.run(load.warmup)
    for each in counts:
        each.batches.clear()
        each.asked = each.woken = each.from_host = each.from_store = 0
    clock.run(load.warmup + load.seconds)
    return _summed(counts, latencies)


def _arrive(clock: Clock, balancer: Balancer, load: Load, *, dice: Random, draw: Callable[[], int]) -> None:
    """Requests come when they are due, or independently of each other (a Poisson process)."""
    for due in load.due:
        clock.at(due, lambda due=due: balancer.send(Asked(due, draw())))  # type: ignore[misc]
    if load.due:
        return

    def one() -> None:
        balancer.send(Asked(clock.now, draw()))
        clock.at(clock.now + dice.expovariate(load.rate), one)

    clock.at(dice.expovariate(load.rate), one)


def _drawing(memory: Memory, seed: int) -> Callable[[], int]:
    """Draws tasks by their popularity."""
    if memory.tasks == 1:
        return lambda: 0
    generator, edges = np.random.default_rng(seed), np.cumsum(zipf(memory.tasks, memory.skew))
    drawn: list[int] = []

    def draw() -> int:
        if not drawn:
            found = np.searchsorted(edges, generator.random(4096), side="right")
            drawn.extend(np.minimum(found, memory.tasks - 1).tolist())
        return drawn.pop()

    return draw


def _summed(counts: list[Counts], latencies: list[float]) -> Counts:
    total = Counts(latencies=latencies)
    for each in counts:
        total.batches += each.batches
        total.asked += each.asked
        total.woken += each.woken
        total.from_host += each.from_host
        total.from_store += each.from_store
    return total
