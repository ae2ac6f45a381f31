"""`Service` builds all parts of a running server and closes them. No part imports this module."""

import asyncio
import platform
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING

from adapters_store import Store
from backbone import Backbone
from service.access.keyring import Keyring
from service.access.wrong_keys import WrongKeys
from service.engine import Batcher, Engine, Limits
from service.engines import Kernels
from service.errors import ReadBacklog
from service.executor import BoundedExecutor, Slots
from service.feedback.desk import FeedbackDesk
from service.inputs.budget import Budget
from service.inputs.decoding import Decoder, image_limits
from service.metrics.collectors import BuildCollector, EngineCollector, TasksCollector
from service.metrics.counters import Metrics
from service.metrics.tiers import TierMetrics
from service.prediction.predict import Predictor
from service.readiness import Readiness
from service.settings import Settings
from service.tasks.catalogue import Catalogue
from service.tasks.classes import ClassAdder
from service.tasks.lifecycle import Lifecycle
from service.tasks.loads import Loads
from service.tasks.prefetch import Prefetch
from service.tasks.registrar import Registrar
from service.tasks.registry import Registry
from service.tasks.targets import Targets
from service.tasks.uploads import Uploader

if TYPE_CHECKING:
    from service.metrics.otel import Tracer


class Service:
    """The parts of a server, and how long they run."""

    def __init__(self, settings: Settings, engine: Engine, store: Store, *, kernels: Kernels | None = None) -> None:
        """Build the parts. Nothing runs before `running`."""
        self.settings, self.engine, self.store, self._kernels = settings, engine, store, kernels
        self.keyring, self.readiness = Keyring(settings), Readiness()
        self.wrong_keys, self.held = WrongKeys(self.keyring, settings.wrong_key_rate), Budget(settings.held_bytes)
        self.metrics, self.tracer = Metrics(tasks=settings.metrics_tasks), _tracer(settings)
        self._publish_tasks()
        self._answer_images()
        self.reads = BoundedExecutor("mimi-read", threads=2, backlog=settings.pending_reads, refusal=_too_many_reads)
        self.downloads = Slots(settings.downloads, _too_many_downloads)
        self._register_collectors()

    def _publish_tasks(self) -> None:
        settings, engine, store = self.settings, self.engine, self.store
        self.loads = Loads(
            store, engine, threads=settings.load_threads, backlog=settings.pending_loads, stats=self.metrics.loads
        )
        self.registry = Registry(
            store, engine, self.loads, pins=settings.pinned_tasks, on_replaced=self.metrics.replaced
        )
        self.prefetch = Prefetch(self.registry, self.loads)
        self.registrar = Registrar(self.registry, backlog=settings.pending_uploads)
        self.readiness.require("the store is gone", lambda: not self.registrar.store_lost)
        self.uploader = Uploader(store, engine, self.registry)
        self.lifecycle = Lifecycle(store, self.registry)
        self.catalogue = Catalogue(store, engine)
        self.classes = ClassAdder(self.catalogue, engine, self.uploader)
        self.targets = Targets(self.registry, self.registrar, self.loads, seconds=settings.request_seconds)

    def _answer_images(self) -> None:
        settings = self.settings
        self.decoder = Decoder(
            self.engine.backbone.preprocessing,
            image_limits(settings),
            threads=settings.decode_threads,
            backlog=settings.decode_images,
            on_decoded=self.metrics.on_decoded,
        )
        self.batcher = Batcher(
            self.engine,
            limits=Limits(settings.queue_images, settings.batch_images, settings.stall_seconds),
            stats=self.metrics,
            on_death=self.readiness.fail,
            on_done=None if self.tracer is None else self.tracer.batch,
        )
        self.readiness.require("the engine is not running", lambda: self.batcher.healthy)
        self.readiness.require("images are not being decoded", lambda: self.decoder.healthy)
        on_stage = None if self.tracer is None else self.tracer.stage
        self.predictor = Predictor(self.decoder, self.batcher, seconds=settings.request_seconds, on_stage=on_stage)
        self.feedback = FeedbackDesk(settings)

    def _register_collectors(self) -> None:
        settings, register = self.settings, self.metrics.register
        register(BuildCollector(_build(self.engine.backbone)))
        register(
            EngineCollector(self.engine, self.batcher, self.decoder, self.readiness, queue_limit=settings.queue_images)
        )
        register(
            TasksCollector(self.registry, self.registrar, most=settings.metrics_tasks, busiest=self.metrics.busiest)
        )
        register(TierMetrics(self.engine.tiers))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Compute and follow the store inside; drain and close everything afterwards."""
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
            self.readiness.drain()
            followers.cancel()
            with suppress(asyncio.CancelledError):
                await followers
            await self.batcher.drain(self.readiness.drain_left(self.settings.drain_seconds))
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        """Wait for the threads that write and read, and close everything."""
        self.registrar.close()
        self.loads.close()
        self.reads.close(wait=True)
        if self._kernels:
            self._kernels.close()
        self.decoder.close()
        self.feedback.close()
        self.store.close()
        if self.tracer is not None:
            self.tracer.close()


def _tracer(settings: Settings) -> "Tracer | None":
    if settings.traces is None:
        return None
    from service.metrics.otel import Tracer  # noqa: PLC0415 - its libraries are an extra

    return Tracer(settings.traces, ratio=settings.trace_ratio)


def _build(backbone: Backbone) -> Mapping[str, str]:
    """Versions and backbone of this server, for the metrics."""
    return {
        "version": version("mimi-serving"),
        "backbone": backbone.name,
        "fingerprint": backbone.fingerprint,
        "python": platform.python_version(),
        "torch": version("torch"),
    }


def _too_many_reads() -> ReadBacklog:
    return ReadBacklog("too many reads of the store wait")


def _too_many_downloads() -> ReadBacklog:
    return ReadBacklog("too many downloads run")
