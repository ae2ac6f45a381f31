"""Attacks on a real server beside good traffic: what each does to the good requests, and what the server loses.

    python -m tests.stress torture --seconds 600 --json docs/results/reliability.json --report docs/reliability.md

Good traffic runs in quiet first, then beside each attack in turn. A server that has not recovered is restarted for the
next attack. `torture_report` says which of the seventeen promises the run has shown.
"""

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import torch

from backbone import load_backbone
from benchmarks.measure import context, write_json
from benchmarks.serving import load
from mimi.demo.server import Server
from tests.attacks.corpus import Attack, attacks
from tests.attacks.requests import request
from tests.stress import (
    attackers,
    checks,
    damage,
    drains,
    flat,
    generated,
    kills,
    rolling,
    soak,
    storm,
    supervised,
    swaps,
    traffic,
)
from tests.stress.drains import good_requests
from tests.stress.torture_report import figures, markdown
from tests.stress.wire import (
    MANAGE_KEY,
    PREDICT_KEY,
    ROOT,
    attacked_server,
    exchange_now,
    metrics,
    port_of,
    started,
    told,
)

PACKAGES = ("torch", "pillow", "fastapi", "starlette", "uvicorn", "h11", "safetensors")
PARTS = (
    "corpus", "attacks", "cancelled", "overload", "drains", "generated", "kills", "storm", "swaps", "damage", "flat",
    "supervised", "rolling", "exact", "checks",
)  # fmt: skip
KEPT = ("mutants", "fuzz", "flat", "storm")  # measured by commands of their own, which write beside this one's file
LONG_RUN = 120.0  # seconds, from which on promises are tried at their full size, as far as their share of time allows
FULL = {"cancelled": 10_000, "drains": 100, "generated": 100_000, "kills": 200, "damage": 1000, "supervised": 1000}
SMALL = {"cancelled": 300, "drains": 2, "generated": 1000, "kills": 5, "damage": 40, "supervised": 40}
RATE = 20.0  # good requests a second
LEAST_SECONDS = 6.0  # of one attack: three windows
RECOVERY_SECONDS = 30.0  # until a server counts as not recovered, and is restarted
QUICK_ANSWER = 0.25  # seconds; a good request that takes less shows that the server has recovered
_READY = request("GET", "/health/ready")
_MIB = 2**20
OVERLOAD_SECONDS, OVERLOAD_CLIENTS = 60.0, 600  # of kept connections and of new ones; how many are kept
OVERLOAD_RATE = 743.0  # requests a second at least, as a flood was reported
LONG = {"slow_headers": 18.0, "slow_bodies": 18.0}  # seconds: longer than a slow connection may stay
# what no answer to a bad request may hold: keys, paths of this machine, traces
SECRET = [
    text.encode()
    for text in (PREDICT_KEY, MANAGE_KEY, "Traceback", "site-packages", "/tmp/", str(Path.home()), str(ROOT), ".py")
]


@dataclass(slots=True)
class Range:
    """The server under attack, and what its process uses."""

    folder: Path
    requests: Path  # good ones, as `load.save` writes them
    seconds: float  # of each attack
    server: Server
    stack: ExitStack
    restarts: int = 0

    @property
    def process(self) -> psutil.Process:
        """The server's process."""
        return psutil.Process(self.server.process.pid)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.server.process.poll() is None

    def restart(self) -> None:
        """Kill the server and start another one over the same store."""
        self.server.process.kill()
        self.stack.close()
        self.server = self.stack.enter_context(attacked_server(self.folder))
        self.restarts += 1


@dataclass(slots=True)
class Watch:
    """The use of the server's process during a part, and the answers to its probes."""

    before_mib: float = 0.0
    peak_mib: float = 0.0
    cpu_seconds: float = 0.0
    probes: int = 0
    failed_probes: int = 0
    slowest_probe_ms: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)


@contextmanager
def watching(range_: Range) -> Iterator[Watch]:
    """Sample memory and ask the readiness probe twice a second while the block runs."""
    watch, over, process = Watch(), threading.Event(), range_.process
    watch.before_mib = watch.peak_mib = process.memory_info().rss / _MIB
    before = process.cpu_times()

    def sample() -> None:
        while not over.wait(0.5) and range_.alive:
            watch.peak_mib = max(watch.peak_mib, process.memory_info().rss / _MIB)
            start = time.monotonic()
            reply = exchange_now(port_of(range_.server), _READY, seconds=5.0)
            watch.probes += 1
            watch.failed_probes += reply.status != traffic.OK
            watch.slowest_probe_ms = max(watch.slowest_probe_ms, 1e3 * (time.monotonic() - start))

    thread = threading.Thread(target=sample, name="watch")
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()
        if range_.alive:
            after = process.cpu_times()
            watch.cpu_seconds = after.user + after.system - before.user - before.system


def good_traffic(range_: Range, *, rate: float = RATE, seconds: float = 0.0, **options: float) -> dict[str, Any]:
    """Figures of good traffic for so many seconds, or for those of one attack."""
    job = traffic.Job(port_of(range_.server), str(range_.requests), rate, seconds or range_.seconds, **options)
    with started("tests.stress.traffic", traffic.as_json(job)) as process:
        return told(process)


def attacked(names: Sequence[str], range_: Range) -> dict[str, Any]:
    """One attack after the other; before every second one the quiet is measured again."""
    found: dict[str, Any] = {}
    quiet: dict[str, Any] | None = None
    for number, name in enumerate(names):
        found[name] = under(name, range_, quiet if number % 2 else None)
        quiet = found[name]["quiet"]
    return found


def under(name: str, range_: Range, quiet: dict[str, Any] | None = None) -> dict[str, Any]:
    """Good traffic in quiet, unless that is given, then beside one attack, and how long the server needs to recover."""
    print(f"attack: {name}", file=sys.stderr, flush=True)
    seconds = max(range_.seconds, LONG.get(name, 0.0))
    quiet = quiet or good_traffic(range_)
    job = attackers.Job(name, port_of(range_.server), PREDICT_KEY, MANAGE_KEY, seconds + 2)
    with watching(range_) as watch, started("tests.stress.attackers", attackers.as_json(job)) as attacker:
        if attacker.stdout:
            attacker.stdout.readline()  # the attack begins
        good, attacked = good_traffic(range_), told(attacker)
    recovery = recovered(range_) if range_.alive else None
    result = {
        "tries": attackers.ATTACKS[name][0],
        "quiet": quiet,
        "good": good,
        "attacker": attacked,
        "server": asdict(watch),
        "alive": range_.alive,
        "recovery_s": recovery,
    }
    if recovery is None:
        range_.restart()
    return result


def recovered(range_: Range) -> float | None:
    """Seconds until a good request is answered quickly again; None if that takes too long."""
    data, start = load.read(range_.requests)[0], time.monotonic()
    while (now := time.monotonic()) - start < RECOVERY_SECONDS:
        status = exchange_now(port_of(range_.server), data, seconds=5.0).status
        if status == traffic.OK and time.monotonic() - now < QUICK_ANSWER:
            return now - start
        time.sleep(0.1)
    return None


def corpus(range_: Range) -> dict[str, Any]:
    """Every attack of the corpus once: its answer, and what it cost the server."""
    return {each.name: _once(each, range_) for each in attacks() if not each.heavy}


def _once(attack: Attack, range_: Range) -> dict[str, Any]:
    data, process = attack.build(PREDICT_KEY, MANAGE_KEY), range_.process
    before, memory = process.cpu_times(), process.memory_info().rss
    start = time.monotonic()
    reply = exchange_now(port_of(range_.server), data, seconds=60.0)
    after = process.cpu_times()
    return {
        "status": reply.status,
        "right": reply.status in attack.statuses,
        "refused": reply.status != 200,
        "seconds": time.monotonic() - start,
        "cpu_ms": 1e3 * (after.user + after.system - before.user - before.system),
        "growth_mib": (process.memory_info().rss - memory) / _MIB,
        "leaks": any(word in reply.body for word in SECRET),
    }


def capacity_of(range_: Range) -> float:
    """Answers a second to 32 clients that never pause."""
    job = load.Job(port_of(range_.server), str(range_.requests), 1.0, range_.seconds, clients=32)
    with started("benchmarks.serving.load", load.as_json(job)) as process:
        return float(told(process)["per_second"])


def overload(range_: Range, seconds: float) -> dict[str, Any]:
    """Three times the capacity or more, on kept and on new connections, and the time back to normal."""
    capacity = capacity_of(range_)
    found: dict[str, Any] = {"capacity_per_second": capacity, "seconds": seconds, "commit": context(())["commit"]}
    for name, clients in {"kept": OVERLOAD_CLIENTS, "new": 0}.items():
        rate = max(OVERLOAD_RATE, 3 * capacity)
        good = good_traffic(range_, rate=rate, seconds=seconds, fresh=float(not clients), clients=clients)
        back = recovered(range_)
        found[name] = {**good, "goodput": good["answered_per_second"] / capacity, "recovery_s": back}
        if back is None:
            range_.restart()
    return found


def cancelled(range_: Range, count: int, seconds: float) -> dict[str, Any]:
    """Half of the clients give up; the others must not notice, and nothing may be left."""
    files, rate = range_.process.num_fds(), max(RATE, 0.5 * capacity_of(range_))
    good = good_traffic(range_, rate=rate, seconds=min(seconds, 1.05 * count / rate), cancelled=0.5)
    recovered(range_)
    patience = time.monotonic() + 10.0
    while range_.process.num_fds() > files and time.monotonic() < patience:
        time.sleep(0.1)  # the last connections are being closed
    return {**good, "descriptors_before": files, "descriptors_after": range_.process.num_fds()}


class Parts:
    """Does the parts that are wanted, and notes how long each takes."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self._wanted = wanted
        self.found: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}

    def do(self, name: str, part: Callable[[], Any]) -> None:
        """Do a part, if it is wanted."""
        if name in self._wanted:
            print(f"part: {name}", file=sys.stderr, flush=True)
            start = time.monotonic()
            self.found[name] = part()
            self.seconds[name] = time.monotonic() - start


def run(seconds: float, wanted: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Everything measured, as JSON values."""
    each = max(LEAST_SECONDS, 0.6 * seconds / (2 * len(names) + 6))
    result: dict[str, Any] = {"benchmark": "torture", "seconds_of_each": each, "rate": RATE, **context(PACKAGES)}
    parts, sizes = Parts(wanted), FULL if seconds >= LONG_RUN else SMALL
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(attacked_server(folder))
        range_ = Range(folder, folder / "good.requests", each, server, stack)
        load.save(good_requests(), range_.requests)
        result["quiet"] = [good_traffic(range_)]
        parts.do("corpus", lambda: corpus(range_))
        parts.do("attacks", lambda: attacked(names, range_))
        result["quiet"].append(good_traffic(range_))
        parts.do("cancelled", lambda: cancelled(range_, sizes["cancelled"], 0.4 * seconds))
        parts.do("overload", lambda: overload(range_, min(OVERLOAD_SECONDS, 0.3 * seconds)))
        result["restarts"] = range_.restarts
        result["internal_errors"] = metrics(range_.server).count("internal_error")
        result["tracebacks"] = range_.server.log.read_text(errors="replace").count("Traceback")
    stress(seconds, parts, sizes)
    return {**result, **parts.found, "part_seconds": parts.seconds}


def stress(seconds: float, parts: Parts, sizes: Mapping[str, int]) -> None:
    """The other stress tests, at sizes that fit into the time."""
    parts.do("drains", lambda: drains.run(sizes["drains"], seconds))
    parts.do("generated", lambda: generated.run(sizes["generated"], 0.7 * seconds))
    parts.do("kills", lambda: kills.run(sizes["kills"]))
    parts.do("storm", lambda: storm.run(storm.THREADS, storm.ROUNDS, 0.1 * seconds))
    parts.do("swaps", lambda: swaps.run(swaps.Plan(seconds=max(5.0, min(600.0, 0.6 * seconds)), quiet=5.0, period=0.1)))
    parts.do("damage", lambda: damage.run(sizes["damage"]))
    parts.do("flat", lambda: flat.run(1_000_000, seconds / 4))
    parts.do("supervised", lambda: supervised.run(sizes["supervised"]))
    if shutil.which("nginx"):
        parts.do("rolling", rolling.run)
    parts.do("exact", lambda: exact(max(3.0, seconds / 40)))
    parts.do("checks", checks.run)


def exact(seconds: float, tasks: int = 12) -> dict[str, Any]:
    """Answers of the engine in batches, beside swaps and cancellations, against those of the reference loop."""
    outcome = soak.Outcome()
    torch.set_num_threads(2)
    asyncio.run(soak.run(soak.Soak(load_backbone(), tasks, outcome), seconds, 1.0))
    return {"tasks": tasks, "toll": asdict(outcome)}


def add_kept(result: dict[str, Any], folder: Path) -> None:
    """Add the results of longer runs by other commands, where this run has none or a smaller one."""
    for name in KEPT:
        path = folder / f"{name}.json"
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if found and _size(found) > _size(result.get(name, {})):
            result[name] = found


def _size(found: Mapping[str, Any]) -> int:
    return int(found.get("requests") or found.get("operations") or bool(found))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(prog="tests.stress torture", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--report", type=Path, help="Markdown file to write")
    parser.add_argument("--seconds", type=float, default=600.0, help="of all parts together, about (default: 600)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to run (default: all)")
    parser.add_argument("--attacks", nargs="+", choices=list(attackers.ATTACKS), default=list(attackers.ATTACKS))
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run, write the files, print the figures; 1 if the server crashed, answered 500 or lost what it acknowledged."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else the server would go on
    result = run(options.seconds, options.parts, options.attacks)
    add_kept(result, options.json.parent)
    result["figures"] = [asdict(figure) for figure in figures(result)]
    write_json(options.json, result)
    text = markdown(result)
    if options.report:
        options.report.write_text(text, encoding="utf-8")
    print(text)
    return int(any(figure.harm for figure in figures(result)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
