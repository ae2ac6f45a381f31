"""From settings to a running process: builds the parts, listens, drains on SIGTERM, and reports why it ended.

Exit codes:

    0  stopped by a signal, everything under way answered
    1  could not start: the reason is printed, without a trace
    2  refused to start: a setting is unknown, out of range, or unsafe
    3  the engine died: start again
"""

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

import torch
import uvicorn

from adapters_store import AdaptersStoreError, StoreError, bundled, open_store
from backbone import BUNDLED, BackboneError, load_backbone
from backbone.memory import keep_large_blocks
from service.access.keyring import Keyring
from service.engines import make_engine
from service.errors import SettingsError
from service.http.app import create_app
from service.http.entrance import Entrance, Guard
from service.http.places import Places, Pressure
from service.http.protocol import protocol_class
from service.process import workers
from service.service import Service
from service.settings import Settings
from service.telemetry import logs

if TYPE_CHECKING:
    from service.grpc.server import GrpcServer

if sys.platform != "win32":
    import resource

Job = Callable[[], int]

OK, CANNOT_START, REFUSED, ENGINE_DIED = 0, 1, 2, 3

_STARTTIME = 19  # field of /proc/self/stat behind the command's name, in ticks since the machine began
_STANDARD_ERROR = 2
_OTHER_DESCRIPTORS = 1536  # for the store, libraries, and connections that are about to be closed
_LAST_SECONDS = 3  # for clients to get their refusals when the engine has died
_UNSENT_BYTES = 128 * 1024
_TICK_SECONDS = 0.1  # as uvicorn has it
_EXTRAS = {
    "grpc_port": ("grpc", ("grpc", "grpc_health", "grpc_reflection", "tritonclient")),
    "traces": ("otel", ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")),
}


def main(settings: Settings) -> int:
    """Serve until a signal or the engine's death; returns the process's exit code."""
    _open_standard_streams()
    keep_large_blocks()
    logs.configure(settings)
    start = time.perf_counter() - process_age()

    def prepare(stack: ExitStack) -> Job:
        _allow_descriptors(settings.connections * (1 if settings.grpc_port is None else 2))
        _check_extras(settings)
        workers.check(settings)
        Keyring(settings)  # a second before the backbone is loaded: what is wrong with the keys is told at once
        listener = stack.enter_context(listen(settings.host, settings.port, shared=settings.workers > 1))
        if settings.workers == 1:
            service = build(settings)
            return lambda: serve(service, [listener], started=start)
        known = {"port": listener.getsockname()[1], "threads": workers.threads_of(settings)}
        return lambda: workers.supervise(
            settings.workers, lambda place: _work(settings.model_copy(update=known), place)
        )

    return _status_of(prepare)


def _work(settings: Settings, place: workers.Place) -> int:
    """Be one of several workers: answer at the shared port, and at one of its own."""
    start = time.perf_counter()

    def prepare(stack: ExitStack) -> Job:
        shared = stack.enter_context(listen(settings.host, settings.port, shared=True))
        alone = settings.worker_port + place.number if settings.worker_port else 0
        own = stack.enter_context(listen(settings.host, alone))
        service = build(settings)
        return lambda: serve(service, [shared, own], started=start, on_listening=place.on_listening)

    return _status_of(prepare)


def _status_of(prepare: Callable[[ExitStack], Job]) -> int:
    """Prepare and do a job; its exit code, or that of what prevents it, whose reason is printed."""
    with ExitStack() as stack:
        try:
            job = prepare(stack)
        except (SettingsError, StoreError) as error:
            print(f"refusing to start: {error}", file=sys.stderr)
            return REFUSED
        except MemoryError:
            print("cannot start: there is not enough memory", file=sys.stderr)
            return CANNOT_START
        except (BackboneError, AdaptersStoreError, OSError) as error:
            print(f"cannot start: {error}", file=sys.stderr)
            return CANNOT_START
        return job()


def process_age() -> float:
    """Seconds since this process began, its imports included; 0 if the system does not say."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        began = int(fields[_STARTTIME]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, AttributeError):  # not Linux
        return 0.0


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket bound to `host` and `port`; nobody can connect before the server runs.

    Args:
        host: an address, or a name.
        port: 0 for a free one.
        shared: with other processes of this user, over which the kernel spreads connections.

    Raises:
        OSError: no such address, or the port is taken.
    """
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if shared else socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # of each connection: else megabytes for a slow reader hide in the kernel
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def build(settings: Settings) -> Service:
    """Open the store, load the backbone, and read the names of the tasks. Their weights are loaded later.

    Raises:
        StoreError: before the backbone is loaded.
        BackboneError: see there.
        SettingsError: the chosen device is not there, or does not know the chosen precision.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    name = settings.backbone or BUNDLED
    with ExitStack() as undo:
        store = open_store(settings.store, cache=settings.store_cache)
        undo.callback(store.close)
        if name == BUNDLED and not store.faults:  # the tasks that ship were made for the backbone that ships
            bundled.seed(store)
        with suppress(StoreError):  # removes what a killed server left; a store that takes no changes is served too
            store.sweep(older_than=0.0)
        engine, kernels = make_engine(settings, load_backbone(name, weights=settings.weights))
        service = Service(settings, engine, store, kernels=kernels)
        service.registry.sync()
        undo.pop_all()
    return service


def serve(
    service: Service,
    listeners: list[socket.socket],
    *,
    started: float | None = None,
    on_listening: Callable[[], None] = lambda: None,
) -> int:
    """Answer on all listeners until a signal or the engine's death; returns the exit code."""
    server = Server(service, started=time.perf_counter() if started is None else started, on_listening=on_listening)
    gc.collect()
    gc.freeze()  # what is here stays: a collection that looked through it would stop every thread for 0.3 s
    try:
        server.run(sockets=listeners)
    except OSError as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return CANNOT_START
    return ENGINE_DIED if service.readiness.failure else OK


class Server(uvicorn.Server):
    """uvicorn's server. It stops with notice, ends when the engine dies, and exits with 0 on a signal.

    After SIGTERM it goes on answering for a while, so that load balancers see that it is not ready any more. Each
    answer then closes its connection. Afterwards it accepts no connections and finishes the requests under way. Ctrl-C
    skips the time of notice.
    """

    def __init__(self, service: Service, *, started: float, on_listening: Callable[[], None] = lambda: None) -> None:
        self._guard = _guard(service)
        super().__init__(_config(service, self._guard))
        self._entrance = Entrance(self._guard, self._protocol)
        self._service, self._started, self._on_listening = service, started, on_listening
        self._leaves_at: float | None = None  # monotonic seconds
        self.grpc: GrpcServer | None = None  # while there is such a port

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and log the address.

        Raises:
            OSError: another server listens there since the port was taken.
        """
        for listener in sockets or ():
            try:
                listener.listen(self.config.backlog)  # uvloop, which does so again, would fail in silence
            except OSError as error:  # two may bind a port, but only one may listen
                host, port, *_ = listener.getsockname()
                raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        self.grpc = _grpc_server(self._service)
        self._entrance.open(sockets or ())
        await super().startup(sockets)
        if self.grpc is not None:
            await self.grpc.start()
        for listener in sockets or ():
            _announce(self._service, listener, self.grpc, time.perf_counter() - self._started)
        self._on_listening()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to end. How late it comes says whether more requests come than can be read."""
        self._guard.pressure.tick(time.monotonic(), _TICK_SECONDS)
        leaves = self._leaves_at is not None and time.monotonic() >= self._leaves_at
        return await super().on_tick(counter) or leaves or self._service.readiness.failure is not None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On SIGTERM, give notice and stop later, if there is a time of notice.

        On a second SIGTERM or on Ctrl-C, finish the requests under way and stop. On a second Ctrl-C, stop at once.
        """
        self._entrance.close()
        notice = self._service.settings.notice_seconds
        if sig == signal.SIGTERM and notice and not self._service.readiness.stopping:
            self._leaves_at = time.monotonic() + notice
        else:
            self.force_exit = self.should_exit and sig == signal.SIGINT
            self.should_exit = True
        self._service.readiness.stop()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept the connections that wait already, close the listeners, and finish all requests."""
        self._entrance.close()
        self._service.readiness.drain()
        if self._service.readiness.failure is not None:
            self.config.timeout_graceful_shutdown = _LAST_SECONDS
            _end_for_certain()
        for listener in sockets or ():
            await self._entrance.accept_rest(listener, self.config.backlog)
        if self.grpc is not None:  # before the lifespan ends, which the calls under way need
            await self.grpc.stop(self._service.readiness.drain_left(self.config.timeout_graceful_shutdown or 0))
        await super().shutdown(sockets)

    def _protocol(self, let_in: bool) -> asyncio.Protocol:
        kind = cast("type[Any]", self.config.http_protocol_class)
        made: asyncio.Protocol = kind(self.config, self.server_state, self.lifespan.state, let_in=let_in)
        return made


def _end_for_certain() -> None:
    """End the process soon, also if its threads wait for an engine that hangs."""
    if threading.current_thread() is threading.main_thread():  # else it is not a process of its own
        timer = threading.Timer(2 * _LAST_SECONDS, os._exit, (ENGINE_DIED,))
        timer.daemon = True
        timer.start()


def _guard(service: Service) -> Guard:
    return Guard(
        service.settings,
        Places(service.settings),
        service.metrics.rejected,
        service.batcher.check_room,
        stopping=lambda: service.readiness.stopping,
        pressure=Pressure(service.settings.queue_images),
    )


def _config(service: Service, guard: Guard) -> uvicorn.Config:
    settings = service.settings
    return uvicorn.Config(
        create_app(service),
        loop="uvloop" if find_spec("uvloop") else "asyncio",  # there is none for Windows
        http=protocol_class(guard),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks who the client is
        timeout_keep_alive=settings.idle_seconds,
        h11_max_incomplete_event_size=4 * settings.header_bytes,  # up to there, our own answer names the limit
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
    )


def _check_extras(settings: Settings) -> None:
    """Refuse, with a SettingsError, a setting that needs packages that are not installed."""
    for name, (extra, modules) in _EXTRAS.items():
        try:
            missing = getattr(settings, name) is not None and not all(map(find_spec, modules))
        except ModuleNotFoundError:  # not even the package that the module lies in
            missing = True
        if missing:
            raise SettingsError(f"{name} needs further packages: pip install 'mimi-serving[{extra}]'")


def _grpc_server(service: Service) -> "GrpcServer | None":
    settings = service.settings
    if settings.grpc_port is None:
        return None
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # else its core prints a line for every malformed request
    from service.grpc.server import GrpcServer  # noqa: PLC0415 - its libraries are an extra, and read the variable

    return GrpcServer(service, host=settings.host, port=settings.grpc_port)


def _announce(service: Service, listener: socket.socket, grpc: "GrpcServer | None", seconds: float) -> None:
    host, port, *_ = listener.getsockname()
    name = f"[{host}]" if ":" in host else host
    ready = sum(entry.reason is None for entry in service.registry.table.values())
    _say(
        f"serving {ready} of {len(service.registry.table)} tasks over {service.engine.backbone.name} "
        f"at http://{name}:{port}{f' and {grpc.address}' if grpc else ''} (ready in {seconds:.1f} s)"
    )


def _say(line: str) -> None:
    try:
        print(line, flush=True)
    except OSError:  # nobody reads it; Python would try again when it ends, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_standard_streams() -> None:
    """See that the descriptors 0 to 2 are taken: else a store or a connection gets one of them, and what is printed."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        pass
    os.close(descriptor)


def _allow_descriptors(connections: int) -> None:
    """Raise the limit of open files, so that this many connections cannot use it up.

    Raises:
        SettingsError: they could.
    """
    if sys.platform == "win32":  # which has no such limit
        return
    needed = connections + _OTHER_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if hard != unlimited and hard < needed:
        raise SettingsError(
            f"connections: {connections} need {needed} open files, and this process may have {hard} (see ulimit -n)"
        )
    if soft != unlimited and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
