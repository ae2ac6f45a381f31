"""Everything a running server consists of, put together in one place; the routes reach it as one object."""

import asyncio
import platform
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

from adapters_store import Store
from backbone import ImageLimits
from service import openapi
from service.catalogue import Catalogue
from service.decoding import Decoder
from service.engine import Batcher, Engine, Limits, TierUsage, Usage
from service.errors import NotReady, ReadBacklog
from service.kernels import Kernels
from service.keyring import Keyring
from service.lifecycle import Lifecycle
from service.line import Line
from service.loads import Loads
from service.metrics import Metrics
from service.predict import Predictor
from service.prefetch import Prefetch
from service.registrar import Registrar
from service.registry import Registry
from service.settings import Settings
from service.table import Table
from service.targets import Targets
from service.uploads import Uploader


class Service:
    """The parts of a server, and whether it takes work.

    Attributes:
        failure: why the engine died; None while it lives.
    """

    def __init__(self, settings: Settings, engine: Engine, store: Store, *, kernels: Kernels | None = None) -> None:
        """Put the parts together; nothing runs before `running`."""
        self._kernels = kernels
        self.settings, self.engine, self.store = settings, engine, store
        self.keyring = Keyring(settings)
        self.metrics = Metrics(self, tasks=settings.metrics_tasks)
        self.loads = Loads(
            store, engine, threads=settings.load_threads, backlog=settings.pending_loads, stats=self.metrics.loads
        )
        self.registry = Registry(store, engine, self.loads, pins=settings.pinned_tasks, on_replaced=self._replaced)
        self.prefetch = Prefetch(self.registry, self.loads)
        self.registrar = Registrar(self.registry, backlog=settings.pending_uploads)
        self.uploader = Uploader(store, engine, self.registry)
        self.lifecycle = Lifecycle(store, self.registry)
        self.catalogue = Catalogue(store, engine)
        self.downloads = 0  # under way
        self.reads = Line("mimi-read", threads=2, backlog=settings.pending_reads, refusal=_too_many_reads)
        self.decoder = Decoder(
            engine.backbone.preprocessing,
            ImageLimits(max_bytes=settings.image_bytes),
            threads=settings.decode_threads,
            backlog=settings.decode_images,
            on_decoded=self.metrics.on_decoded,
        )
        self.batcher = Batcher(
            engine,
            limits=Limits(queue_images=settings.queue_images, batch_images=settings.batch_images),
            stats=self.metrics,
            on_death=self._die,
        )
        self.targets = Targets(self.registry, self.registrar, self.loads, seconds=settings.request_seconds)
        self.predictor = Predictor(self.decoder, self.batcher, seconds=settings.request_seconds)
        self.failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped_at: float | None = None  # monotonic seconds

    @property
    def table(self) -> Table:
        """All tasks as of now."""
        return self.registry.table

    @property
    def queued(self) -> int:
        """Images that wait for the engine."""
        return self.batcher.queued

    @property
    def queue_limit(self) -> int:
        """Most images that may wait for the engine."""
        return self.settings.queue_images

    @property
    def engine_up(self) -> bool:
        """Whether there is a thread that computes."""
        return self.batcher.healthy

    @property
    def ready(self) -> bool:
        """Whether work is taken."""
        return self._stopped_at is None and self.batcher.healthy

    @property
    def usage(self) -> Usage:
        """What is resident, and what lingers."""
        return self.engine.usage()

    @property
    def generation(self) -> int:
        """Of the store, as far as this server has followed it."""
        return self.registry.generation

    @property
    def store_age(self) -> float:
        """Seconds since the store was last read."""
        return self.registrar.age

    @property
    def build(self) -> Mapping[str, str]:
        """What runs here."""
        backbone = self.engine.backbone
        return {
            "version": openapi.release(),
            "backbone": backbone.name,
            "fingerprint": backbone.fingerprint,
            "python": platform.python_version(),
            "torch": version("torch"),
        }

    @property
    def tiers(self) -> Mapping[str, TierUsage]:
        """What each tier of memory holds and did."""
        return self.engine.tiers()

    def stop(self) -> None:
        """Take no more work from now on; what is under way goes on, for as long as draining may take."""
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()

    def check_ready(self) -> None:
        """Raise NotReady unless work is taken."""
        if self._stopped_at is not None:
            raise NotReady("the server is stopping")
        if not self.batcher.healthy:
            raise NotReady("the engine is not running")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Compute and follow the store inside; drain and close everything afterwards."""
        self._loop = asyncio.get_running_loop()
        self.batcher.start()
        if self._kernels:
            self._kernels.start()
        followers = asyncio.gather(
            self.registrar.follow(self.settings.follow_seconds),
            self.registrar.sweep(self.store, self.settings.sweep_seconds),
            self.keyring.follow(self.settings.keys_seconds),
            self.prefetch.follow(self.settings.follow_seconds),
        )
        try:
            yield
        finally:
            self.stop()
            followers.cancel()
            with suppress(asyncio.CancelledError):
                await followers
            await self.batcher.drain(self._drain_left())
            await asyncio.to_thread(self.registrar.close)
            await asyncio.to_thread(self.loads.close)
            await asyncio.to_thread(self.reads.close, wait=True)
            if self._kernels:
                await asyncio.to_thread(self._kernels.close)
            self.decoder.close()
            self.store.close()

    def _drain_left(self) -> float:
        """Seconds left for draining; never none, so that what is finished already is handed over."""
        gone = time.monotonic() - (self._stopped_at or time.monotonic())
        return max(1.0, self.settings.drain_seconds - gone)

    def _die(self, error: BaseException) -> None:
        self.failure = error

    def _replaced(self, old: Table, new: Table) -> None:
        self.metrics.replaced(old, new)
        if self._loop is not None:
            for task in old.keys() - new.keys():  # on the loop, where predictions are counted: none can slip in between
                self._loop.call_soon_threadsafe(self.metrics.forget, task)


def _too_many_reads() -> ReadBacklog:
    return ReadBacklog("too many reads of the store wait")
