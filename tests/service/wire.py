"""HTTP spoken by hand over a bare socket, for what no client library would send."""

import json
import socket
from dataclasses import dataclass
from typing import Any

from tests.service.live import PATIENCE, Live


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came over the wire; `closed` tells whether the server ended the connection."""

    status: int
    headers: dict[str, str]
    body: bytes
    closed: bool

    @property
    def code(self) -> str:
        """The problem's code."""
        problem: dict[str, Any] = json.loads(self.body)
        return str(problem["code"])


def ask(live: Live, *pieces: bytes) -> Reply:
    """Send pieces on a new connection, then read one answer."""
    with live.connect() as connection:
        for piece in pieces:
            send(connection, piece)
        return read(connection)


def send(connection: socket.socket, data: bytes) -> bool:
    """Send, unless the server has closed already."""
    try:
        connection.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def read(connection: socket.socket) -> Reply:
    """One answer, and whether the connection ends after it."""
    with connection.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        headers = {}
        while line := stream.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        return Reply(status, headers, body, closed=headers.get("connection") == "close" and _ends(connection, stream))


def _ends(connection: socket.socket, stream: Any) -> bool:  # noqa: ANN401 - a buffered socket has no public type
    connection.settimeout(PATIENCE)
    try:
        return not stream.read()
    except ConnectionResetError:
        return True


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """A request; Content-Length only where a header says so."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"
