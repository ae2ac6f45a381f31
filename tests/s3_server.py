"""A real server that speaks S3 on loopback (moto's), in a process of its own, and what tests do to it.

Requests are taken one after the other, so that a conditional write is atomic, as S3 promises. On request it loses
answers, refuses work, answers late, and takes many objects in one call.

    python -m tests.s3_server          # prints its port; ends when its standard input does
"""

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

ADMIN = "/_admin/"
BUCKET = "mimi"
ROOT = Path(__file__).parents[1]
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}

Start = Callable[..., Any]
Environ = dict[str, Any]


@dataclass(frozen=True, slots=True)
class S3:
    """A client of the server for what only tests ask."""

    port: int

    @property
    def endpoint(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a process that uses the server."""
        return {**CREDENTIALS, "AWS_ENDPOINT": self.endpoint, "AWS_ALLOW_HTTP": "true"}

    def prefix(self) -> str:
        """The URL of a store that nobody uses yet."""
        return f"s3://{BUCKET}/{uuid.uuid4().hex}"

    def spoil(self, kind: str, times: int, method: str = "PUT") -> None:
        """Make the next requests of a method fail: `lose` their answers, or `refuse` them."""
        self._ask(f"spoil?kind={kind}&times={times}&method={method}")

    def delay(self, milliseconds: float) -> None:
        """Let every answer take so much longer."""
        self._ask(f"delay?ms={milliseconds}")

    def requests(self) -> Mapping[str, int]:
        """How many requests of each method there have been."""
        found: Mapping[str, int] = json.loads(self._ask("requests"))
        return found

    def fill(self, url: str, objects: Iterable[tuple[str, bytes]]) -> None:
        """Put many objects below the URL of a store."""
        prefix = url.removeprefix(f"s3://{BUCKET}/")
        body = b"".join(_framed(f"{prefix}/{name}".encode()) + _framed(data) for name, data in objects)
        self._ask("fill", body)

    def _ask(self, what: str, body: bytes = b"") -> bytes:
        request = urllib.request.Request(f"{self.endpoint}{ADMIN}{what}", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=60) as response:
            found: bytes = response.read()
        return found


@cache
def server() -> S3:
    """The server of this process, which is started when it is first asked for."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.s3_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env={**os.environ, **CREDENTIALS, "MOTO_S3_CUSTOM_ENDPOINTS": ""},
    )
    atexit.register(process.kill)
    assert process.stdout is not None
    found = S3(int(process.stdout.readline()))
    process.stdout.close()
    with urllib.request.urlopen(urllib.request.Request(f"{found.endpoint}/{BUCKET}", method="PUT"), timeout=60):
        return found


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


class _Application:
    """The WSGI application: moto's, and what spoils it."""

    def __init__(self, moto: Callable[[Environ, Start], Iterable[bytes]]) -> None:
        self._moto, self._lock = moto, threading.Lock()
        self._spoilt: list[tuple[str, str]] = []
        self._seconds, self._counts = 0.0, dict[str, int]()

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Answer one request."""
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path.startswith(ADMIN):
            body = self._administer(path.removeprefix(ADMIN), environ)
            start("200 OK", [("Content-Length", str(len(body)))])
            return [body]
        time.sleep(self._seconds)
        with self._lock:
            self._counts[method] = self._counts.get(method, 0) + 1
            kind = self._take(method)
            if kind == "refuse":
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                start("503 Slow Down", [("Content-Length", "0")])
                return []
            answer = list(self._moto(environ, start))
        if kind == "lose":
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return answer

    def _take(self, method: str) -> str:
        for index, (kind, spoilt) in enumerate(self._spoilt):
            if spoilt == method:
                del self._spoilt[index]
                return kind
        return ""

    def _administer(self, what: str, environ: Environ) -> bytes:
        options = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if what == "spoil":
            self._spoilt = [(options["kind"], options["method"])] * int(options["times"])
        elif what == "delay":
            self._seconds = float(options["ms"]) / 1000
        elif what == "fill":
            with self._lock:
                _fill(memoryview(body))
        return json.dumps(self._counts).encode()


def _fill(body: memoryview) -> None:
    from moto.s3.models import s3_backends  # noqa: PLC0415 - only the process of the server needs it

    backend = next(iter(s3_backends.values()))["aws"]
    pieces, at = [], 0
    while at < len(body):
        end = at + 4 + int.from_bytes(body[at : at + 4], "big")
        pieces.append(bytes(body[at + 4 : end]))
        at = end
    for name, data in zip(pieces[::2], pieces[1::2], strict=True):
        backend.put_object(BUCKET, name.decode(), data)


def main() -> None:
    """Serve until standard input ends, which it does with the process that started this one."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415
    from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: PLC0415

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept

        def log_request(self, *_: object) -> None:
            """Print nothing."""

    moto = DomainDispatcherApplication(create_backend_app)
    served = make_server("127.0.0.1", 0, _Application(moto), threaded=True, request_handler=Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    print(served.server_port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
