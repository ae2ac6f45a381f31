"""A real Ray cluster on this machine, under load: it grows to two replicas, loses one, and gets new ones. Nothing fails.

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
_CLIENTS = 6
_POLL_SECONDS = 0.2
_UPLOAD_SECONDS = 0.5  # between uploads
_MEMORY = 128 * 2**20  # bytes of Ray's object store
_BAD = 500
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
    """What the clients saw.

    Attributes:
        attempts: every request, repeated ones included.
        answered: calls that got their answer.
        failed: calls that did not, by error.
        acknowledged: uploads that were answered: version and SHA-256.
    """

    attempts: list[Attempt] = field(default_factory=list)
    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    acknowledged: list[tuple[int, str]] = field(default_factory=list)


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


def deploy(store: Path, **changes: Any) -> None:  # noqa: ANN401 - fields of a plan
    """Run the application, or replace it, and wait until it is healthy."""
    from ray import serve  # noqa: PLC0415 - see `cluster`

    from deploy.ray_app import Plan, application  # noqa: PLC0415

    settings = {**_SETTINGS, "store": str(store), **changes.pop("settings", {})}
    serve.run(application(Plan(settings=settings, **changes)), name="mimi", route_prefix="/")


def running() -> int:
    """Replicas that Ray counts as running."""
    from ray import serve  # noqa: PLC0415 - see `cluster`

    found = serve.status().applications["mimi"].deployments["mimi"].replica_states
    return int(found.get("RUNNING", 0))


def processes() -> set[int]:
    """The replicas' processes."""
    return {each.pid for each in psutil.Process().children(recursive=True) if _is_replica(each)}


def _is_replica(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.cmdline()[:1] == ["ray::ServeReplica:mimi:mimi"]
    except psutil.Error:  # it has just ended
        return False


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

    async def step(name: str, text: str, work: Callable[[], object] | None, what: Callable[[], bool]) -> None:
        began = time.monotonic()
        say(f"{began - start:6.1f} s  {text}")
        if work is not None:
            await asyncio.to_thread(work)
        await until(text, what)
        times[name] = time.monotonic() - began

    async with AsyncClient(url, policy=_POLICY, transport=Noting(log)) as client:
        await step("start_s", "one replica starts", lambda: deploy(store, most_replicas=2, queue_ratio=0.001),
                   lambda: running() == 1)  # fmt: skip
        async with loaded(client, log):
            await step("grow_s", "the queue fills: a second one is started", None, lambda: running() == 2)
            await step("fix_s", "the number is fixed", lambda: deploy(store, replicas=2), lambda: running() == 2)
            first = processes()
            victim = min(first)
            killed = _kill(victim)
            await step("replace_s", f"process {victim} was killed: it is replaced", None,
                       lambda: running() == 2 and len(processes()) == 2 and victim not in processes())  # fmt: skip
            second, rolled = processes(), time.monotonic()
            await step("roll_s", "a rolling update replaces both", lambda: deploy(store, replicas=2,
                       settings={"request_seconds": "101"}), lambda: not processes() & second)  # fmt: skip
        kept = {(each.version, each.sha256) for each in (await client.versions(TASK)).versions}
    return {"times": times, **_verdict(log, killed, rolled, kept)}


def _kill(victim: int) -> float:
    """Kill a process; the moment, by when it is dead or dying."""
    os.kill(victim, signal.SIGKILL)
    return time.monotonic()


def _verdict(log: Log, killed: float, rolled: float, kept: set[tuple[int, str]]) -> dict[str, Any]:
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
