"""Raw asynchronous connections, and a real server to attack: what no HTTP client would send or leave undone."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mimi.demo.server import Server, running_server

PREDICT_KEY, MANAGE_KEY = "torture-predict-key-0001", "torture-manage-key-00001"
# Instead of a status: the connection ended before the answer, no answer came in time, or it could not be opened.
LOST, SILENT, CLOSED = 0, -1, -2
NAMES = {LOST: "lost", SILENT: "unanswered", CLOSED: "not connected"}
_LARGEST = 2**24  # bytes of a line or a head


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: its status, or LOST, SILENT or CLOSED; and its body."""

    status: int
    body: bytes = b""

    @property
    def name(self) -> str:
        """The status as text."""
        return NAMES.get(self.status, str(self.status))


@contextmanager
def attacked_server(folder: Path, *options: str) -> Iterator[Server]:
    """A real `mimi serve` over the bundled backbone and tasks, with two keys, in a process of its own."""
    keys = [("good", "predict", PREDICT_KEY), ("owner", "manage", MANAGE_KEY)]
    text = "".join(f'[[keys]]\nname = "{name}"\nkind = "{kind}"\nkey = "{key}"\n\n' for name, kind, key in keys)
    path = folder / "keys.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
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
    return Reply(int(lines[0].split()[1]), await reader.readexactly(length) if length else b"")


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
    question = urllib.request.Request(f"{server.url}/v1/tasks", headers={"Authorization": f"Bearer {MANAGE_KEY}"})
    with urllib.request.urlopen(question, timeout=30) as answer:
        return [task["task"] if "task" in task else task["name"] for task in json.loads(answer.read())["tasks"]]
