"""From settings to a running process: builds the parts, listens, drains on SIGTERM, and tells why it ended.

Exit codes:

    0  stopped by a signal, everything under way answered
    1  could not start: the reason is printed, without a trace
    2  refused to start: a setting is unknown, out of range, or unsafe
    3  the engine died: start again
"""

import gc
import os
import signal
import socket
import sys
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

import torch
import uvicorn

from adapters_store import AdaptersStoreError, bundled, open_store
from backbone import BUNDLED, BackboneError, load_backbone
from backbone.memory import keep_large_blocks
from service import logs
from service.access.keyring import Keyring
from service.engines import make_engine
from service.errors import SettingsError
from service.http.app import create_app
from service.http.protocol import protocol_class
from service.service import Service
from service.settings import Settings

OK, CANNOT_START, REFUSED, ENGINE_DIED = 0, 1, 2, 3

_STARTTIME = 19  # field of /proc/self/stat behind the command's name, in ticks since the machine began


def main(settings: Settings) -> int:
    """Serve until a signal or the engine's death; returns the process's exit code."""
    keep_large_blocks()
    logs.configure(settings)
    start = time.perf_counter() - process_age()
    with ExitStack() as stack:
        try:
            Keyring(settings)  # a second before the backbone is loaded: what is wrong with the keys is told at once
            listener = stack.enter_context(listen(settings.host, settings.port))
            service = build(settings)
        except SettingsError as error:
            print(f"refusing to start: {error}", file=sys.stderr)
            return REFUSED
        except MemoryError:
            print("cannot start: there is not enough memory", file=sys.stderr)
            return CANNOT_START
        except (BackboneError, AdaptersStoreError, OSError) as error:
            print(f"cannot start: {error}", file=sys.stderr)
            return CANNOT_START
        return serve(service, listener, started=start)


def process_age() -> float:
    """Seconds since this process began, its imports included; 0 where the system does not say."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        began = int(fields[_STARTTIME]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, AttributeError):  # not Linux
        return 0.0


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to `host` and `port`; nobody can connect before the server runs.

    Raises:
        OSError: no such address, or the port is taken.
    """
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def build(settings: Settings) -> Service:
    """Load the backbone, open the store, and learn the names of its tasks; their weights come later.

    Raises:
        BackboneError, StoreError: see there.
        SettingsError: the chosen device is not there, or does not know the chosen precision.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    name = settings.backbone or BUNDLED
    engine, kernels = make_engine(settings, load_backbone(name, weights=settings.weights))
    with ExitStack() as undo:
        store = open_store(settings.store)
        undo.callback(store.close)
        if name == BUNDLED:  # the tasks that ship were made for the backbone that ships
            bundled.seed(store)
        service = Service(settings, engine, store, kernels=kernels)
        service.registry.sync()
        undo.pop_all()
    return service


def serve(service: Service, listener: socket.socket, *, started: float | None = None) -> int:
    """Answer on `listener` until a signal or the engine's death; returns the exit code."""
    server = Server(service, started=time.perf_counter() if started is None else started)
    gc.collect()
    gc.freeze()  # what is here stays: a collection that looked through it would stop every thread for 0.3 s
    server.run(sockets=[listener])
    return ENGINE_DIED if service.readiness.failure else OK


class Server(uvicorn.Server):
    """uvicorn's server, which also ends when the engine dies, and exits with 0 when a signal has been obeyed."""

    def __init__(self, service: Service, *, started: float) -> None:
        super().__init__(_config(service))
        self._service, self._started = service, started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say where."""
        await super().startup(sockets)
        for listener in sockets or ():
            _announce(self._service, listener, time.perf_counter() - self._started)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to end."""
        return await super().on_tick(counter) or self._service.readiness.failure is not None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no more work at once and finish what is under way; a second Ctrl-C does not wait for it."""
        self._service.readiness.stop()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def _config(service: Service) -> uvicorn.Config:
    settings = service.settings
    return uvicorn.Config(
        create_app(service),
        loop="uvloop" if find_spec("uvloop") else "asyncio",  # there is none for Windows
        http=protocol_class(settings, service.metrics.rejected),
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


def _announce(service: Service, listener: socket.socket, seconds: float) -> None:
    host, port, *_ = listener.getsockname()
    name = f"[{host}]" if ":" in host else host
    ready = sum(entry.reason is None for entry in service.registry.table.values())
    print(
        f"serving {ready} of {len(service.registry.table)} tasks over {service.engine.backbone.name} "
        f"at http://{name}:{port} (ready in {seconds:.1f} s)",
        flush=True,
    )
