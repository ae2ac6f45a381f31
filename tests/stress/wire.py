"""Raw asynchronous connections, and a real server to attack: what no HTTP client would send or leave undone."""

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimi.demo.server import Server, running_server

ROOT = Path(__file__).resolve().parents[2]
PREDICT_KEY, MANAGE_KEY = "torture-predict-key-0001", "torture-manage-key-00001"
# Instead of a status: the connection ended before the answer, no answer came in time, or it could not be opened.
LOST, SILENT, CLOSED = 0, -1, -2
NAMES = {LOST: "lost", SILENT: "unanswered", CLOSED: "not connected"}
_LARGEST = 2**24  # bytes of a line or a head


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: its status, or LOST, SILENT or CLOSED; its body; whether it is the last of its connection."""

    status: int
    body: bytes = b""
    last: bool = False

    @property
    def name(self) -> str:
        """The status as text."""
        return NAMES.get(self.status, str(self.status))


def write_keys(folder: Path) -> Path:
    """A file with the two keys."""
    keys = [("good", "predict", PREDICT_KEY), ("owner", "manage", MANAGE_KEY)]
    text = "".join(f'[[keys]]\nname = "{name}"\nkind = "{kind}"\nkey = "{key}"\n\n' for name, kind, key in keys)
    path = folder / "keys.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


@contextmanager
def attacked_server(folder: Path, *options: str) -> Iterator[Server]:
    """A real `mimi serve` over the bundled backbone and tasks, with two keys, in a process of its own."""
    path = write_keys(folder)
    with running_server(folder, options=["--keys-file", str(path), *options]) as server:
        yield server


def port_of(server: Server) -> int:
    """The port of a server."""
    return int(server.url.rpartition(":")[2])


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the server."""
    return await asyncio.open_connection("127.0.0.1", port, limit=_LARGEST)


async def exchange(port: int, data: bytes, *, seconds: float) -> Reply:
    """Send bytes on a new connection and read one answer."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await connect(port)
            try:
                return await ask(reader, writer, data)
            finally:
                writer.close()
    except TimeoutError:
        return Reply(SILENT)
    except ConnectionRefusedError:
        return Reply(CLOSED)
    except (OSError, EOFError, ValueError):
        return Reply(LOST)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> Reply:
    """Send bytes and read one answer; a server may answer and close before it has read everything."""
    with suppress(ConnectionError):
        writer.write(data)
        await writer.drain()
    return await read(reader)


async def read(reader: asyncio.StreamReader) -> Reply:
    """One answer with Content-Length.

    Raises:
        EOFError, OSError, ValueError: the connection ended, or this is no HTTP.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(":", 1) for line in lines[1:] if ":" in line)
    length = int(headers.get("content-length", 0))
    body = await reader.readexactly(length) if length else b""
    return Reply(int(lines[0].split()[1]), body, last=headers.get("connection", "").strip() == "close")


def reply_of(received: bytearray) -> Reply | None:
    """The answer with Content-Length that these bytes are; None while it is not complete.

    Raises:
        ValueError: this is no HTTP.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(received[: end + 2]).lower()
    _, found, rest = head.partition(b"\r\ncontent-length:")
    size = end + 4 + (int(rest.partition(b"\r\n")[0]) if found else 0)
    if len(received) < size:
        return None
    return Reply(int(head[9:12]), bytes(received[end + 4 : size]), last=b"\r\nconnection: close\r\n" in head)


def exchange_now(port: int, data: bytes, *, seconds: float) -> Reply:
    """As `exchange`, for synchronous callers."""
    return asyncio.run(exchange(port, data, seconds=seconds))


def metrics(server: Server) -> str:
    """The text of /metrics."""
    question = urllib.request.Request(f"{server.url}/metrics", headers={"Authorization": f"Bearer {MANAGE_KEY}"})
    with urllib.request.urlopen(question, timeout=30) as answer:
        text: str = answer.read().decode()
        return text


def tasks(server: Server) -> Sequence[str]:
    """Names of the published tasks."""
    return [task["task"] if "task" in task else task["name"] for task in listed(server.url)]


def listed(url: str) -> list[dict[str, Any]]:
    """The published tasks of a server, all pages."""
    found, query = list[dict[str, Any]](), "limit=1000"
    while query:
        question = urllib.request.Request(f"{url}/v1/tasks?{query}", headers={"Authorization": f"Bearer {MANAGE_KEY}"})
        with urllib.request.urlopen(question, timeout=60) as answer:
            page = json.loads(answer.read())
        found += page["tasks"]
        query = f"limit=1000&cursor={page['next']}" if page["next"] else ""
    return found


@contextmanager
def started(module: str, given: str) -> Iterator["subprocess.Popen[str]"]:
    """A module as a process that has read its job."""
    command = [sys.executable, "-m", module]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdin:
            process.stdin.write(given)
            process.stdin.close()
        yield process


def told(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The figures that a process writes at its end.

    Raises:
        RuntimeError: it wrote none.
    """
    text = process.stdout.read() if process.stdout else ""
    if not text:
        raise RuntimeError(f"{process.args!r} failed")
    figures_of: dict[str, Any] = json.loads(text)
    return figures_of
