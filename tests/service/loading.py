"""Helpers for tests of loading: a small store whose reads can be paused, over an engine with little memory."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from adapters_store import AdaptersStoreError, Store, open_store
from service.engine import Engine, EngineError, Resident
from service.tasks.loads import Loads
from service.tasks.registry import Registry
from service.tasks.table import Content
from tests.service.adapters import Made, bundled_backbone, make
from tests.service.live import PATIENCE

FILES = [make(80 + seed, live=(5,), width=3) for seed in range(6)]
SIZE = 4 * (2 * 3 * bundled_backbone().sites[5].dim + 4 * (bundled_backbone().feature_dim + 1))


class Heard:
    """Remembers what was told."""

    def __init__(self) -> None:
        self.loads = 0
        self.reasons: list[str] = []

    def on_load(self, seconds: float) -> None:
        assert seconds > 0
        self.loads += 1

    def on_failed_load(self, reason: str) -> None:
        self.reasons.append(reason)


class Site:
    """A store of six tasks behind a gate, and an engine with room for two of them."""

    def __init__(self, store: Store, *, threads: int = 2, backlog: int = 9) -> None:
        for index, made in enumerate(FILES):
            store.publish(f"task-{index}", made.data)
        self.store, self.engine, self.heard = store, Engine(bundled_backbone(), budget=2 * SIZE), Heard()
        self.loads = Loads(store, self.engine, threads=threads, backlog=backlog, stats=self.heard)
        self.contents = [Content(made.sha256) for made in FILES]
        self.closed: dict[str, threading.Event] = {}
        self.reads: list[str] = []
        self._read = store.read
        store.read = self._gated  # type: ignore[method-assign]

    def close(self, index: int) -> threading.Event:
        """Let reads of a content wait for this event."""
        return self.closed.setdefault(FILES[index].sha256, threading.Event())

    def _gated(self, sha256: str) -> bytes:
        self.reads.append(sha256)
        if sha256 in self.closed:
            assert self.closed[sha256].wait(PATIENCE)
        return self._read(sha256)


def serve(registry: Registry, loads: Loads, task: str, alias: str = "live") -> Resident:
    """The version that would answer a request."""
    named = registry.resolve(task, alias)
    with suppress(AdaptersStoreError, EngineError):
        return loads.wait(named.content)
    registry.resolve(task, alias)
    raise AssertionError("a content that cannot be loaded is still named")


def publish(registry: Registry, store: Store, task: str, *files: Made) -> None:
    """Publish the versions of a task, each followed at once."""
    for made in files:
        store.publish(task, made.data)
        registry.sync()


@contextmanager
def opened_site(path: Path) -> Iterator[Site]:
    """A site over a store at `path`; reads that are still held up go on at the end."""
    with closing(open_store(str(path))) as store:
        site = Site(store)
        yield site
        for event in site.closed.values():
            event.set()
        site.loads.close()
