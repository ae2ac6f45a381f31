"""Ray Serve on a real cluster of this machine, under load: a second replica, one that is killed, a rolling update.

    python -m tests.stress cluster --json cluster.json

Clients ask and upload through Ray Serve without a pause, and repeat what may be repeated. Every attempt is noted. An
attempt may fail only if it was under way when a replica was killed.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil  # type: ignore[import-untyped]

from adapters_store import digest, unpack
from adapters_store.bundled import bundled_tasks
from benchmarks.measure import context, write_json
from service.client import AsyncClient, ClientError, RetryPolicy
from tests.attacks import images
from tests.stress.material import BASES, TASK, Material
from tests.stress.rolling import free_ports
from tests.stress.wire import ROOT

PACKAGES = ("ray", "fastapi", "uvicorn")
PATIENCE = 240.0  # seconds until something counts as not happening: replicas import torch on a busy machine
_CLIENTS = 4
_PAUSE_SECONDS = 0.1  # of a client after an answer, while replicas start: they need the cores as well
_RATIO = 0.001  # of a full queue: one image that waits is enough for a second replica
_POLL_SECONDS = 0.2
_UPLOAD_SECONDS = 0.5  # between uploads
_MEMORY = 128 * 2**20  # bytes of Ray's object store
_BAD = 400
_VARIABLES = {
    "PYTHONPATH": str(ROOT),
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deploy.ray_app:middlewares",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",  # others use this machine's memory as well
}
_SETTINGS = {
    "host": "127.0.0.1",
    "precision": "fp32",
    "batch_images": "1",  # so that images wait, which is what the number of replicas follows
    "request_seconds": "100",
    "body_seconds": "60",  # Ray itself passes bodies on, and late on a busy machine
}
_POLICY = RetryPolicy(seconds=PATIENCE, connect_seconds=60.0, attempts=20)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request and what came of it; times are monotonic seconds. An answer that did not come has status 0."""

    sent: float
    ended: float
    status: int

    @property
    def bad(self) -> bool:
        """Whether it failed."""
        return self.status == 0 or self.status >= _BAD


@dataclass(slots=True)
class Log:
    """The notes of all clients.

    Attributes:
        attempts: every request, repeated ones included.
        answered: calls that got their answer.
        failed: calls that did not, by error.
        acknowledged: uploads that were answered: version and SHA-256.
        pause: seconds that a client waits after an answer.
    """

    attempts: list[Attempt] = field(default_factory=list)
    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    acknowledged: list[tuple[int, str]] = field(default_factory=list)
    pause: float = 0.0


class Noting(httpx.AsyncBaseTransport):
    """The network, with a note of each attempt."""

    def __init__(self, log: Log) -> None:
        self._log, self._inner = log, httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, read the whole answer, and note."""
        sent, status = time.monotonic(), 0
        try:
            response = await self._inner.handle_async_request(request)
            await response.aread()
            status = response.status_code
        finally:
            self._log.attempts.append(Attempt(sent, time.monotonic(), status))
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


@contextmanager
def cluster(folder: Path, port: int) -> Iterator[None]:
    """A Ray cluster of this machine alone, with Serve's proxy at a port of loopback."""
    os.environ.update(_VARIABLES)
    import ray  # noqa: PLC0415 - it reads the variables
    from ray import serve  # noqa: PLC0415

    ray.init(
        "local",
        num_cpus=2,
        object_store_memory=_MEMORY,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="WARNING",
        _node_ip_address="127.0.0.1",
        _temp_dir=str(folder / "ray"),
    )
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        yield
    finally:
        serve.shutdown()
        ray.shutdown()


def deploy(store: Path, **changes: str) -> None:
    """Run the application, or replace it by one with other settings, and wait until it is healthy."""
    from ray import serve  # noqa: PLC0415 - see `cluster`

    from deploy.ray_app import Plan, application  # noqa: PLC0415

    plan = Plan(most_replicas=2, queue_ratio=_RATIO, settings={**_SETTINGS, "store": str(store), **changes})
    serve.run(application(plan), name="mimi", route_prefix="/")


def replicas() -> dict[str, int]:
    """How many replicas there are of each state that Ray knows."""
    from ray import serve  # noqa: PLC0415 - see `cluster`

    found = serve.status().applications["mimi"].deployments["mimi"].replica_states
    return {str(getattr(state, "value", state)): count for state, count in found.items()}


def processes() -> set[int]:
    """The replicas' processes."""
    return {each.pid for each in psutil.Process().children(recursive=True) if _is_replica(each)}


def _is_replica(process: psutil.Process) -> bool:
    try:
        alive, command = process.status() != psutil.STATUS_ZOMBIE, " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return False
    return alive and command.startswith("ray::ServeReplica:mimi:mimi")  # Ray may add what it does now


async def until(what: str, done: Callable[[], bool]) -> None:
    """Look again and again.

    Raises:
        TimeoutError: it does not happen.
    """
    end = time.monotonic() + PATIENCE
    while not await asyncio.to_thread(done):
        if time.monotonic() > end:
            raise TimeoutError(f"not in {PATIENCE:g} s: {what}")
        await asyncio.sleep(_POLL_SECONDS)


@asynccontextmanager
async def loaded(client: AsyncClient, log: Log) -> AsyncIterator[None]:
    """Clients that ask, and one that uploads, inside; all calls have ended afterwards."""
    over = asyncio.Event()

    async def asking() -> None:
        while not over.is_set():
            await _call(log, client.predict("digits", images.small("PNG")))
            await asyncio.sleep(log.pause)

    async def uploading() -> None:
        for data in _material().files():
            answer = await _call(log, client.upload(TASK, data))
            if answer is not None:
                log.acknowledged.append((answer.version, digest(data)))
            await asyncio.sleep(_UPLOAD_SECONDS)
            if over.is_set():
                break

    async with asyncio.TaskGroup() as group:
        group.create_task(uploading())
        for _ in range(_CLIENTS):
            group.create_task(asking())
        try:
            yield
        finally:
            over.set()


def _material() -> Material:
    bundled = bundled_tasks()
    return Material((), {base: unpack(bundled[base]) for base in BASES}, {})


async def _call(log: Log, call: Any) -> Any:  # noqa: ANN401 - any call of the client, and its answer
    try:
        answer = await call
    except ClientError as error:
        log.failed[f"{type(error).__name__}: {error}"] += 1
        return None
    log.answered += 1
    return answer


async def play(store: Path, url: str, say: Callable[[str], None]) -> dict[str, Any]:
    """The whole run; figures as JSON values."""
    log, times, start = Log(), dict[str, float](), time.monotonic()

    async def step(name: str, text: str, what: Callable[[], bool], work: Callable[[], object] | None = None) -> None:
        began = time.monotonic()
        say(f"{began - start:6.1f} s  {text}")
        if work is not None:
            await asyncio.to_thread(work)
        await until(text, what)
        times[name] = time.monotonic() - began

    async with AsyncClient(url, policy=_POLICY, transport=Noting(log)) as client:
        await step("start_s", "one replica starts", lambda: replicas() == {"RUNNING": 1}, lambda: deploy(store))
        async with loaded(client, log):
            await step("fill_s", "the queue fills, until a second one is wanted", lambda: sum(replicas().values()) > 1)
            log.pause = _PAUSE_SECONDS
            await step("grow_s", "the second one starts", lambda: replicas() == {"RUNNING": 2})
            await until("both have processes", _whole)
            victim = min(processes())
            log.pause, answered = 0.0, log.answered
            await until("clients ask without a pause", lambda: log.answered >= answered + 10 * _CLIENTS)
            killed, log.pause = _kill(victim), _PAUSE_SECONDS
            await step("replace_s", f"process {victim} was killed, and is replaced", lambda: _whole(victim))
            before, rolled = processes(), time.monotonic()
            changed = partial(deploy, store, request_seconds="101")
            await step("roll_s", "a rolling update replaces both", lambda: _whole(*before), changed)
        kept = {(each.version, each.sha256) for each in (await client.versions(TASK)).versions}
    return {"times": times, **verdict(log, killed, rolled, kept)}


def _whole(*gone: int) -> bool:
    """Whether two replicas run, and none of these processes."""
    found = processes()
    return replicas() == {"RUNNING": 2} and len(found) == 2 and not found & set(gone)


def _kill(victim: int) -> float:
    """Kill a process; the moment, by when it is dead or dying."""
    os.kill(victim, signal.SIGKILL)
    return time.monotonic()


def verdict(log: Log, killed: float, rolled: float, kept: set[tuple[int, str]]) -> dict[str, Any]:
    """Figures from the notes of the clients; `harm` counts everything that must not happen.

    Args:
        log: of the clients.
        killed: when a replica was killed, and
        rolled: when the update began, both in monotonic seconds.
        kept: versions and SHA-256 that the store has at the end.
    """
    bad = [each for each in log.attempts if each.bad]
    in_flight = [each for each in bad if each.sent <= killed <= each.ended]
    lost = [each for each in log.acknowledged if each not in kept]
    return {
        "answered": log.answered,
        "failed": dict(log.failed),
        "attempts": len(log.attempts),
        "attempts_failed_in_flight": len(in_flight),
        "attempts_failed_otherwise": len(bad) - len(in_flight),
        "answered_during_the_update": sum(not each.bad and each.sent >= rolled for each in log.attempts),
        "statuses": dict(Counter(str(each.status) for each in log.attempts)),
        "uploads_acknowledged": len(log.acknowledged),
        "uploads_lost": len(lost),
        "harm": sum(log.failed.values()) + len(bad) - len(in_flight) + len(lost),
    }


def run(say: Callable[[str], None]) -> dict[str, Any]:
    """Start a cluster, play, stop it; everything measured as JSON values."""
    with tempfile.TemporaryDirectory(prefix="mimi-") as name:
        (port,) = free_ports(1)
        with cluster(Path(name), port):
            found = asyncio.run(play(Path(name) / "store.db", f"http://127.0.0.1:{port}", say))
    return {**context(PACKAGES), **found}


def main(arguments: Sequence[str]) -> int:
    """Run, write the JSON file, print it; 1 if anything failed that should not."""
    parser = argparse.ArgumentParser(prog="tests.stress cluster", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    options = parser.parse_args(arguments)
    result = run(lambda text: print(text, file=sys.stderr, flush=True))
    print(write_json(options.json, result))
    return int(result["harm"] != 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
