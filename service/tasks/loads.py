"""Loads contents from the store into the engine. Requests that wait for the same content share one load.

Only requests that need the content wait for its load. The store checks the hash of what it reads each time; the golden
sample was checked when the file was uploaded. Knows neither tasks nor versions.
"""

import asyncio
import logging
import time
from concurrent.futures import Future
from threading import Lock
from typing import Protocol

from adapters_store import AdaptersStoreError, Store, unpack
from adapters_store.errors import BackendError
from service.engine import Engine, EngineError, Resident
from service.errors import LoadBacklog
from service.executor import started_pool
from service.tasks.table import Content
from service.telemetry.logs import carried

logger = logging.getLogger(__name__)


class Stats(Protocol):
    """Gets a call for each load, in the thread that loads."""

    def on_load(self, seconds: float) -> None:
        """A content was read and can answer."""
        ...

    def on_failed_load(self, reason: str) -> None:
        """A content could not be loaded; `reason` is the name of an error's class."""
        ...


class Loads:
    """The loads under way. Thread-safe."""

    def __init__(
        self, store: Store, engine: Engine, *, threads: int = 2, backlog: int = 256, stats: Stats | None = None
    ) -> None:
        """Start nothing yet.

        Args:
            store: where the bytes lie.
            engine: what they are loaded into.
            threads: most loads that run at once.
            backlog: most loads that may wait or run.
            stats: told about each.
        """
        self._store, self._engine, self._stats, self._backlog = store, engine, stats, backlog
        self._pool = started_pool("mimi-load", threads)
        self._lock = Lock()
        self._under_way: dict[str, Future[tuple[Resident, bool]]] = {}

    def get(self, content: Content) -> Resident | None:
        """A content's weights if they are in memory."""
        return self._engine.get(content.sha256)

    async def resident(self, content: Content) -> Resident:
        """A content's weights, from memory or from the store. Raises as `loaded`."""
        return self.get(content) or await self.loaded(content)

    async def loaded(self, content: Content) -> Resident:
        """The weights of a content that is not in memory. If a caller stops waiting, the load goes on for the others.

        Raises:
            LoadBacklog: too many others are being loaded.
            StoreError, ArtifactError, AdmissionError, GoldenMoved: it cannot be read, or cannot be served here.
        """
        resident, _ = await asyncio.shield(asyncio.wrap_future(self.start(content)))
        return resident

    async def prefetch(self, content: Content) -> bool:
        """Load a content if there is room in memory; returns whether it is kept there. Raises as `loaded`."""
        _, kept = await asyncio.shield(asyncio.wrap_future(self.start(content, evicting=False)))
        return kept

    def wait(self, content: Content) -> Resident:
        """As `resident`, for a thread that may wait."""
        return self.get(content) or self.start(content).result()[0]

    def start(self, content: Content, *, evicting: bool = True) -> "Future[tuple[Resident, bool]]":
        """Begin to load a content, or join the load under way.

        Args:
            content: what to load.
            evicting: whether others may be evicted for it.

        Raises:
            LoadBacklog: see `loaded`.
        """
        with self._lock:
            load = self._under_way.get(content.sha256)
            if load is not None:
                return load
            if len(self._under_way) >= self._backlog:
                raise LoadBacklog("too many task adapters wait to be loaded")
            load = self._under_way[content.sha256] = self._pool.submit(carried(lambda: self._load(content, evicting)))
        load.add_done_callback(lambda _: self._land(content.sha256))
        return load

    def close(self) -> None:
        """Give up the loads that have not begun, and wait for those that have."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _land(self, sha256: str) -> None:
        with self._lock:
            del self._under_way[sha256]

    def _load(self, content: Content, evicting: bool) -> tuple[Resident, bool]:
        if (found := self._engine.peek(content.sha256)) is not None:
            content.passed(found)
            return found, True
        start = time.perf_counter()
        try:
            resident, kept = self._engine.load(content.sha256, lambda: self._read(content.sha256), evicting=evicting)
        except (AdaptersStoreError, EngineError) as error:
            self._fail(content, error)
            raise
        content.passed(resident)
        if self._stats:
            self._stats.on_load(time.perf_counter() - start)
        return resident, kept

    def _read(self, sha256: str) -> Resident:
        adapter = unpack(self._store.read(sha256))
        resident = self._engine.weights_of(adapter, sha256)
        self._engine.judge(adapter, resident)  # it may have been published by a server of another precision
        return resident

    def _fail(self, content: Content, error: AdaptersStoreError | EngineError) -> None:
        if not isinstance(error, BackendError):  # else the store is away, and nothing is known of the content
            content.failed(error)
        logger.warning("content %s cannot be loaded: %s", content.sha256, type(error).__name__)
        if self._stats:
            self._stats.on_failed_load(type(error).__name__)
