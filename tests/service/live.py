"""A real server on a real socket, in a thread of the test process."""

import io
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2 as httpx
import numpy as np
from PIL import Image

from adapters_store import open_store
from service.engine import Engine
from service.process.server import Server, listen
from service.service import Service
from service.settings import Settings
from tests.service.adapters import Made, bundled_backbone

PATIENCE = 60.0  # seconds until a test gives up on something that should happen at once


@dataclass(frozen=True, slots=True, eq=False)
class Live:
    """A running server, and a client for it."""

    service: Service
    server: Server
    client: httpx.Client
    port: int

    def connect(self) -> socket.socket:
        """A bare connection, for what no client would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)


@contextmanager
def serving(settings: Settings, tasks: Mapping[str, Made] | None = None) -> Iterator[Live]:
    """A server with these tasks published; it listens on a free port whatever the settings say."""
    store = open_store(settings.store)
    for task, made in (tasks or {}).items():
        store.publish(task, made.data)
    service = Service(settings, Engine(bundled_backbone()), store)
    service.registry.sync()
    server, listener = _Server(service, started=time.perf_counter()), listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="mimi-test-server")
    thread.start()
    try:
        assert server.up.wait(PATIENCE)
        port = listener.getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            yield Live(service, server, client, port)
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        listener.close()
    assert not thread.is_alive()


class _Server(Server):
    """Says when it listens."""

    def __init__(self, service: Service, *, started: float) -> None:
        super().__init__(service, started=started)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


def picture(seed: int = 0, *, size: tuple[int, int] = (48, 40)) -> np.ndarray:
    """Random pixels, uint8 (h, w, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


def encode(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    """Pixels as an image file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()
