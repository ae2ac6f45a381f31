"""Shared by the experiments: settings, workers, interleaved rounds, and results."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from types import MappingProxyType

import numpy as np

from benchmarks.engine.pipe import Job, Worker, WorkerAbsent, WorkerError
from benchmarks.measure import TOLERANCE, Estimate, Times, UnequalError, check_equal, ratios
from benchmarks.quiet import share_of_others, ticks

_KEEP = str(2**30)  # bytes; larger than any activation: nothing is given back to the system between batches
TUNED = MappingProxyType(
    {"MALLOC_MMAP_THRESHOLD_": _KEEP, "MALLOC_TRIM_THRESHOLD_": _KEEP, "TIMM_FUSED_ATTN": "2"},
)
SETTINGS: "MappingProxyType[str, MappingProxyType[str, str]]" = MappingProxyType(
    {"default": MappingProxyType({}), "tuned": TUNED},
)


@dataclass(frozen=True, slots=True)
class Peer:
    """A system that is not ours.

    Attributes:
        builder: `package.module:function`, which makes its calls from a job.
        options: for the builder.
    """

    builder: str
    options: dict[str, object] = field(default_factory=dict)


_PEERS = "benchmarks.engine.peers"
PEERS = {
    "timm_eager": Peer(f"{_PEERS}.timm:build_eager"),
    "timm_compiled": Peer(f"{_PEERS}.timm:build_compiled"),
    "onnxruntime": Peer(f"{_PEERS}.timm:build_onnxruntime"),
    "openvino": Peer(f"{_PEERS}.timm:build_openvino"),
    "openvino_bf16": Peer(f"{_PEERS}.timm:build_openvino", {"precision": "bf16"}),
    "timm_bf16": Peer(f"{_PEERS}.timm:build_eager", {"precision": "bf16"}),
    **{
        f"openvino_{network}_{precision}_1": Peer(
            f"{_PEERS}.timm:build_openvino", {"network": network, "precision": precision, "batch": 1}
        )
        for network in ("swin", "nano")
        for precision in ("fp32", "bf16")
    },
    "peft": Peer(f"{_PEERS}.peft:build"),
    "adapterhub": Peer(f"{_PEERS}.adapterhub:build"),
    "full_models": Peer(f"{_PEERS}.timm:build_full_models"),
    "timm_cuda": Peer(f"{_PEERS}.timm:build_cuda", {"mode": "max-autotune"}),
}
BARE = ("timm_eager", "timm_compiled", "onnxruntime", "openvino")  # peers that run the bare network and nothing more


Systems = Mapping[str, tuple[Worker, str]]  # what is timed, by name: a worker, and which of its calls


@dataclass(frozen=True, slots=True)
class Bench:
    """How to measure.

    Attributes:
        folder: the shared material.
        rounds: interleaved repeats.
        threads: of every system.
        quick: smaller networks, fewer tasks and fewer swaps, to see that everything works.
        pythons: by peer, the interpreter of an environment of its own.
        data: a folder for each data set of the bundled tasks, as for `training.bundled`; None where there are none.
    """

    folder: Path
    rounds: int
    threads: int
    quick: bool
    pythons: Mapping[str, str]
    data: Path | None = None

    def ours(self, builder: str, options: Mapping[str, object], *, setting: str = "default") -> Worker:
        """A worker of ours; `builder` is `module:function` of this package."""
        job = Job(f"benchmarks.engine.{builder}", str(self.folder), self.threads, self.quick, dict(options))
        return Worker(job, environment=SETTINGS[setting])

    def peer(self, name: str, options: Mapping[str, object], *, setting: str) -> Worker:
        """A worker of a peer.

        Raises:
            WorkerAbsent, WorkerError: see there.
        """
        peer = PEERS[name]
        job = Job(peer.builder, str(self.folder), self.threads, self.quick, {**peer.options, **options})
        python = {"python": self.pythons[name]} if name in self.pythons else {}
        return Worker(job, environment=SETTINGS[setting], **python)


@dataclass(slots=True)
class Found:
    """The results of the experiments so far.

    Attributes:
        estimates: by key of the JSON.
        reasons: why a key has no figure.
        peers: by peer and setting: measured, absent or failed; how far from our answers; versions.
        details: raw times and everything else, by experiment.
        wrong: systems that failed or computed something else. Such a run is no success.
    """

    estimates: dict[str, Estimate] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    peers: dict[str, dict[str, object]] = field(default_factory=dict)
    details: dict[str, dict[str, object]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def fail(self, who: str, why: str) -> None:
        """Note a system that failed."""
        self.peers[who] = {"state": "failed", "reason": why}
        self.wrong.append(f"{who}: {why}")


@contextmanager
def peers(
    bench: Bench, found: Found, names: Sequence[str], options: Mapping[str, object]
) -> Iterator[dict[str, Worker]]:
    """Workers of the installed peers, in both settings, as `name/setting`; the others are noted with the reason."""
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


def interleave(systems: Systems, *, rounds: int, warm: int = 1) -> dict[str, Times]:
    """Times that the workers measure themselves. Every round calls all of them, another one first each time.

    Before each timed call a worker makes `warm` untimed ones, so that the caches hold its own data.
    """
    names = list(systems)
    times = {name: Times() for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            worker, call = systems[name]
            seconds, cpu_seconds = worker.time(call, warm=warm)
            times[name].seconds.append(seconds)
            times[name].cpu_seconds.append(cpu_seconds)
    return times


def measured(systems: Systems, *, rounds: int) -> tuple[dict[str, Times], dict[str, object]]:
    """Times of interleaved rounds; and the same as JSON values, with other processes' share of the processor."""
    pids = {worker.pid for worker, _ in systems.values()}
    before = ticks(pids)
    times = interleave(systems, rounds=rounds)
    others = share_of_others(before, ticks(pids))
    raw: dict[str, object] = {name: {**asdict(each), "median": median(each.seconds)} for name, each in times.items()}
    return times, {"times": raw, "processor_share_of_others": others}


def compare(times: Mapping[str, Times], name: str, other: str) -> Estimate:
    """Seconds of `name` as a multiple of those of `other`, paired by round."""
    return ratios(times[name].seconds, times[other].seconds)


Pairs = dict[str, tuple[np.ndarray, np.ndarray]]  # by name: the right array, and the peer's


def is_equal(who: str, worker: Worker, pairs: Pairs, found: Found, *, tolerance: float = TOLERANCE) -> bool:
    """Note a peer as measured, or as wrong where any pair differs."""
    try:
        far = {what: check_equal(*pair, who=f"{who}, {what}", tolerance=tolerance) for what, pair in pairs.items()}
    except UnequalError as error:
        found.fail(who, str(error))
        return False
    found.peers[who] = {"state": "measured", "difference": far, "versions": worker.versions, "facts": worker.facts}
    return True


def reason(found: Found, who: str) -> str:
    """Why a peer has no times."""
    return str(found.peers.get(who, {}).get("reason", "not measured"))
