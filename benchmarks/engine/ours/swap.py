"""Swaps as a server makes them: an alias has moved in the store, and the registry takes it over while batches run.

Timed is `Registry.sync` until the new version can answer. It is resident already (a canary beside the live one),
or has to be read from the store, checked and loaded. A thousand tasks are published beside the one that is swapped.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory

from adapters_store import Store, open_store, pack
from benchmarks.engine.job import Calls, Job
from benchmarks.engine.ours.opened import open_engine
from benchmarks.engine.tasks import many_pruned, pruned_task
from service.engine import Engine, Row
from service.tasks.loads import Loads
from service.tasks.registry import Registry

TASK, BESIDE = "swapped", "beside"
PAUSE_SECONDS = 0.002  # between swaps, so that batches get their turn


def build(job: Job) -> Calls:
    """`resident` and `store`, and both again with the engine idle: lists of seconds."""
    engine, swaps, published = open_engine(job).engine, job.number("swaps"), job.number("tasks")
    residents, _ = many_pruned(engine, job.number("batch"), first_seed=0)
    rows = [Row(resident, image) for resident, image in zip(residents, job.images(len(residents)), strict=True)]

    def measure(*, resident: bool, busy: bool) -> dict[str, object]:
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
            "resident": lambda: measure(resident=True, busy=True),
            "store": lambda: measure(resident=False, busy=True),
            "resident_idle": lambda: measure(resident=True, busy=False),
            "store_idle": lambda: measure(resident=False, busy=False),
        },
        {"published_tasks": published},
    )


def publish(store: Store, engine: Engine, tasks: int, *, resident: bool) -> None:
    """Two versions of one task, beside many; with `resident`, aliases keep both in memory."""
    first, second, filler = (pack(pruned_task(engine.backbone, seed=seed)) for seed in (1, 2, 3))
    store.seed({TASK: first, **{f"task-{number}": filler for number in range(tasks - 1)}})
    store.publish(TASK, second)
    store.move_alias(TASK, "live", {1: 1})
    if resident:
        store.move_alias(TASK, BESIDE, {1: 1, 2: 1})


def swap(store: Store, registry: Registry, loads: Loads, turn: int) -> float:
    """Seconds until the other version answers, its weights at hand.

    Raises:
        RuntimeError: another one does.
    """
    version = 2 - turn % 2
    store.move_alias(TASK, "live", {version: 1})
    start = time.perf_counter()
    registry.sync()
    named = registry.resolve(TASK)
    resident = loads.wait(named.content)
    seconds = time.perf_counter() - start
    if named.info.version != version or resident.sha256 != named.info.sha256:
        raise RuntimeError(f"version {named.info.version} answers after a swap to {version}")
    time.sleep(PAUSE_SECONDS)
    return seconds


@contextmanager
def answering(engine: Engine, rows: list[Row]) -> Iterator[None]:
    """Batches, one after the other, in a thread of their own."""
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
