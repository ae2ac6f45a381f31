"""Time to the first answer: after a swap to another version, and after the start of a real `mimi serve`.

Swaps are made as a server makes them: an alias has moved in the store, and the registry follows while batches run.
Timed is `Registry.sync` until the new version can answer. It is resident already (a canary beside the live one),
or it is read from the store, checked and loaded. A thousand tasks are published beside the one that is swapped.
A start is a process, a socket, a fresh store and an image.
"""

import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image

from adapters_store import Store, open_store, pack
from benchmarks.engine.bench import Bench, Found
from benchmarks.engine.material import many_pruned, open_engine, pruned_task
from benchmarks.engine.pipe import ROOT, Calls, Job, WorkerError
from benchmarks.measure import interval, milliseconds, percentile
from service.engine import Engine, Row
from service.tasks.loads import Loads
from service.tasks.registry import Registry

SWAPS, QUICK_SWAPS, BATCH, TASKS = 1000, 100, 16, 1000
KEYS = {"swap_resident_p99_ms": "resident", "swap_store_p99_ms": "store"}


def measure_swap(bench: Bench, found: Found) -> None:
    """Swaps beside batches, which the goals are about, and swaps while the engine is idle."""
    options = {"swaps": QUICK_SWAPS if bench.quick else SWAPS, "batch": BATCH, "tasks": TASKS}
    with bench.ours("latency:build_swap", options) as worker:
        seconds = {call: worker.tell(call)["seconds"] for call in worker.calls}
        for key, call in KEYS.items():
            found.estimates[key] = milliseconds(percentile(seconds[call], 0.99))
        found.details["swap"] = {
            "seconds": seconds,
            "median_ms": {call: asdict(milliseconds(percentile(each, 0.5))) for call, each in seconds.items()},
            "p99_ms": {call: asdict(milliseconds(percentile(each, 0.99))) for call, each in seconds.items()},
            **worker.facts,
        }


SWAPPED, BESIDE = "swapped", "beside"
PAUSE_SECONDS = 0.002  # between swaps, so that batches get their turn


def build_swap(job: Job) -> Calls:
    """`resident` and `store`, and both again with the engine idle: lists of seconds."""
    engine, swaps, published = open_engine(job).engine, job.number("swaps"), job.number("tasks")
    residents, _ = many_pruned(engine, job.number("batch"), first_seed=0)
    rows = [Row(resident, image) for resident, image in zip(residents, job.images(len(residents)), strict=True)]

    def measured_swaps(*, resident: bool, busy: bool) -> dict[str, object]:
        with ExitStack() as stack:
            store = open_store(f"sqlite:///{stack.enter_context(TemporaryDirectory())}/store.db")
            stack.callback(store.close)
            publish(store, engine, published, resident=resident)
            loads = Loads(store, engine)
            stack.callback(loads.close)
            registry = Registry(store, engine, loads)
            registry.sync()
            for named in registry.live():
                loads.wait(named.content)
            if busy:
                stack.enter_context(answering(engine, rows))
            return {"seconds": [swap(store, registry, loads, turn) for turn in range(swaps)]}

    return Calls(
        {
            "resident": lambda: measured_swaps(resident=True, busy=True),
            "store": lambda: measured_swaps(resident=False, busy=True),
            "resident_idle": lambda: measured_swaps(resident=True, busy=False),
            "store_idle": lambda: measured_swaps(resident=False, busy=False),
        },
        {"published_tasks": published},
    )


def publish(store: Store, engine: Engine, tasks: int, *, resident: bool) -> None:
    """Publish two versions of one task beside many others; with `resident`, aliases keep both in memory."""
    first, second, filler = (pack(pruned_task(engine.backbone, seed=seed)) for seed in (1, 2, 3))
    store.seed({SWAPPED: first, **{f"task-{number}": filler for number in range(tasks - 1)}})
    store.publish(SWAPPED, second)
    store.move_alias(SWAPPED, "live", {1: 1})
    if resident:
        store.move_alias(SWAPPED, BESIDE, {1: 1, 2: 1})


def swap(store: Store, registry: Registry, loads: Loads, turn: int) -> float:
    """Seconds until the other version answers and its weights are resident.

    Raises:
        RuntimeError: another version answers.
    """
    version = 2 - turn % 2
    store.move_alias(SWAPPED, "live", {version: 1})
    start = time.perf_counter()
    registry.sync()
    named = registry.resolve(SWAPPED)
    resident = loads.wait(named.content)
    seconds = time.perf_counter() - start
    if named.info.version != version or resident.sha256 != named.info.sha256:
        raise RuntimeError(f"version {named.info.version} answers after a swap to {version}")
    time.sleep(PAUSE_SECONDS)
    return seconds


@contextmanager
def answering(engine: Engine, rows: list[Row]) -> Iterator[None]:
    """Compute batches, one after the other, in a thread of their own."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            engine.run(rows)

    thread = threading.Thread(target=work, name="batches")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


STARTED = "digits"
STARTS, QUICK_STARTS = 15, 6
PATIENCE = 300.0  # seconds


def measure_start(bench: Bench, found: Found) -> None:
    """Start servers one after the other; each has a new store and seeds it with the bundled tasks."""
    picture = encoded()
    seconds = [first_answer(picture) for _ in range(QUICK_STARTS if bench.quick else STARTS)]
    found.estimates["first_answer_s"] = interval(seconds)
    found.details["start"] = {"seconds": seconds}


def encoded() -> bytes:
    """A picture as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def first_answer(picture: bytes) -> float:
    """Seconds from the start of the process to its first prediction.

    Raises:
        WorkerError: it made none.
    """
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with serving(Path(folder)) as process:
            url = address(process)
            request = Request(f"{url}/v1/tasks/{STARTED}/predict", data=picture, headers={"Content-Type": "image/png"})
            with urlopen(request, timeout=PATIENCE) as response:
                answered = b"predictions" in response.read()
            seconds = time.perf_counter() - start
    if not answered:
        raise WorkerError("the server's first answer has no predictions")
    return seconds


@contextmanager
def serving(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """The server with its defaults, stopped at the end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIMI_")}
    command = [sys.executable, "-m", "mimi", "serve", "--port", "0", "--store", str(folder / "store.db")]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**kept, "PYTHONPATH": str(ROOT)}, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=log
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)


def address(process: "subprocess.Popen[str]") -> str:
    """The address that the server prints.

    Raises:
        WorkerError: it printed none.
    """
    line = process.stdout.readline() if process.stdout else ""
    words = [word for word in line.split() if word.startswith("http://")]
    if not words:
        raise WorkerError(f"the server did not start: {line!r}")
    return words[0]
