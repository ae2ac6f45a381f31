"""What experiments share: the material, workers that end with them, interleaved rounds, and what is found."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.engine.contestants import PEERS, SETTINGS
from benchmarks.engine.job import Job
from benchmarks.engine.pipe import Worker, WorkerAbsent, WorkerError
from benchmarks.engine.quiet import share_of_others, ticks
from benchmarks.measure import Estimate, Times, ratios

Contestants = Mapping[str, tuple[Worker, str]]  # by name: whom to tell, and what to call


@dataclass(frozen=True, slots=True)
class Bench:
    """How to measure.

    Attributes:
        folder: the shared material.
        rounds: interleaved repeats.
        threads: of every contestant.
        quick: whether smaller networks and crowds and fewer swaps do, to see that all works.
        pythons: interpreters of peers that live in an environment of their own.
    """

    folder: Path
    rounds: int
    threads: int
    quick: bool
    pythons: Mapping[str, str]

    def ours(self, module: str, options: Mapping[str, object], *, setting: str = "default") -> Worker:
        """One of our own contestants."""
        job = Job(f"benchmarks.engine.{module}", str(self.folder), self.threads, self.quick, dict(options))
        return Worker(job, environment=SETTINGS[setting])

    def peer(self, name: str, options: Mapping[str, object], *, setting: str) -> Worker:
        """A peer.

        Raises:
            WorkerAbsent, WorkerError: see there.
        """
        peer = PEERS[name]
        job = Job(peer.module, str(self.folder), self.threads, self.quick, {**peer.options, **options})
        python = {"python": self.pythons[name]} if name in self.pythons else {}
        return Worker(job, environment=SETTINGS[setting], **python)


@dataclass(slots=True)
class Found:
    """What experiments found, growing.

    Attributes:
        estimates: by key of the JSON.
        reasons: why a key has no figure.
        peers: by peer and setting: measured, absent or failed; how far from our answers; versions.
        details: raw times and everything else, by experiment.
        wrong: contestants that failed or computed something else: with these no run is a success.
    """

    estimates: dict[str, Estimate] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    peers: dict[str, dict[str, object]] = field(default_factory=dict)
    details: dict[str, dict[str, object]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def fail(self, who: str, why: str) -> None:
        """Remember what must not happen."""
        self.peers[who] = {"state": "failed", "reason": why}
        self.wrong.append(f"{who}: {why}")


@contextmanager
def peers(
    bench: Bench, found: Found, names: Sequence[str], options: Mapping[str, object]
) -> Iterator[dict[str, Worker]]:
    """Those that are installed, each in both settings, as `name/setting`; the others are noted with their reason."""
    with ExitStack() as stack:
        ready = {}
        for who, (name, setting) in {f"{name}/{key}": (name, key) for name in names for key in SETTINGS}.items():
            try:
                ready[who] = stack.enter_context(bench.peer(name, options, setting=setting))
            except WorkerAbsent as error:
                found.peers[who] = {"state": "absent", "reason": str(error)}
            except WorkerError as error:
                found.fail(who, str(error))
        yield ready


def interleave(contestants: Contestants, *, rounds: int, warm: int = 1) -> dict[str, Times]:
    """Times that the workers tell of themselves; every round asks all, beginning with another one each time.

    Before each timed call a worker makes `warm` untimed ones, so that caches and clocks are its own.
    """
    names = list(contestants)
    times = {name: Times() for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            worker, call = contestants[name]
            seconds, cpu_seconds = worker.time(call, warm=warm)
            times[name].seconds.append(seconds)
            times[name].cpu_seconds.append(cpu_seconds)
    return times


def measured(contestants: Contestants, *, rounds: int) -> tuple[dict[str, Times], dict[str, object]]:
    """Times of interleaved rounds; and the same as JSON values, with what others did to the processor meanwhile."""
    pids = {worker.pid for worker, _ in contestants.values()}
    before = ticks(pids)
    times = interleave(contestants, rounds=rounds)
    others = share_of_others(before, ticks(pids))
    raw: dict[str, object] = {name: {**asdict(each), "median": median(each.seconds)} for name, each in times.items()}
    return times, {"times": raw, "processor_share_of_others": others}


def compare(times: Mapping[str, Times], name: str, other: str) -> Estimate:
    """Seconds of `name` as a multiple of those of `other`, paired by round."""
    return ratios(times[name].seconds, times[other].seconds)
