"""Generated requests on a real server: attacks of the corpus, changed at random. None may be answered with 500.

    python -m tests.stress generated --count 100000 --json generated.json

Bodies are changed behind sound headers, on kept connections; now and then the headers themselves are changed. The same
seed makes the same requests.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.measure import context, write_json
from tests.attacks.corpus import attacks
from tests.stress.wire import MANAGE_KEY, PREDICT_KEY, SILENT, Reply, ask, attacked_server, connect, exchange, port_of

PACKAGES = ("torch", "pillow", "fastapi", "uvicorn", "h11", "safetensors")
_CLIENTS = 6
_LARGEST = 32 * 1024  # bytes of a request that is changed
_IN_HEADERS = 0.05  # share of requests whose headers are changed, too
_PATIENCE = 30.0  # seconds for one answer
_SHORT = 0.25  # seconds for one to headers that may promise more than comes
_END = b"\r\n\r\n"
_WORDS = (
    b"\0", b"\xff" * 4, b"-1", b"1e400", b"NaN", b"null", b"[]", b"{}", b'"', b"\\u0000", b"\r\n", b"--", b"/../",
    b"%00", b"18446744073709551616", b"Infinity", b"F64", b"\xed\xa0\x80", b"IDAT", b"\xff\xd8\xff",
)  # fmt: skip


def material() -> list[bytes]:
    """Small requests of the corpus."""
    made = (attack.build(PREDICT_KEY, MANAGE_KEY) for attack in attacks() if not attack.heavy)
    keyed = (data for data in made if PREDICT_KEY.encode() in data or MANAGE_KEY.encode() in data)  # others must wait
    return [data for data in keyed if len(data) <= _LARGEST and _END in data and b"chunked" not in data.lower()]


def changed(data: bytes, dice: random.Random) -> bytes:
    """The same bytes with one to four random changes."""
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data) + 1)
        until = min(len(data), at + dice.choice((0, 1, 2, 4, 16, 256)))
        match dice.randrange(4):
            case 0:
                data = data[:at] + data[until:]
            case 1:
                data = data[:at] + dice.choice(_WORDS) + data[until:]
            case 2:
                data = data[:until] + data[at:until] * dice.randint(1, 3) + data[until:]
            case _:
                data = data[:at] + bytes(byte ^ 1 << dice.randrange(8) for byte in data[at:until]) + data[until:]
    return data


def requests(count: int, *, seed: int = 0) -> Iterator[tuple[bytes, bool]]:
    """So many requests, and whether the framing of each is sound."""
    dice, sources = random.Random(seed), material()
    for _ in range(count):
        head, _, body = dice.choice(sources).partition(_END)
        body = changed(body, dice)
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
        head = b"\r\n".join([*lines, b"Content-Length: %d" % len(body)])
        if dice.random() < _IN_HEADERS:
            yield changed(head, dice) + _END + body, False
        else:
            yield head + _END + body, True


async def sent(port: int, count: int, seconds: float) -> Counter[str]:
    """Send them, or as many as the time allows; the answers by status."""
    every, statuses, end = requests(count), Counter[str](), time.monotonic() + seconds

    async def client() -> None:
        kept = None
        for data, sound in every:
            if time.monotonic() > end:
                return
            if not sound:
                statuses[(await exchange(port, data, seconds=_SHORT)).name] += 1
                continue
            reply = Reply(SILENT)
            with suppress(OSError, EOFError, ValueError, TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    kept = kept or await connect(port)
                    reply = await ask(*kept, data)
            statuses[reply.name] += 1
            if kept and (reply.last or reply.status == SILENT):
                kept[1].close()
                kept = None

    await asyncio.gather(*(client() for _ in range(_CLIENTS)))
    return statuses


def run(count: int, seconds: float = 3600.0) -> dict[str, Any]:
    """Send, and see that the server lives and has no trace in its log; everything as JSON values."""
    with tempfile.TemporaryDirectory() as name, attacked_server(Path(name)) as server:
        start = time.monotonic()
        statuses = asyncio.run(sent(port_of(server), count, seconds))
        took, alive = time.monotonic() - start, server.process.poll() is None
        traces = server.log.read_text(errors="replace").count("Traceback")
    harm = statuses["500"] + traces + (not alive)
    found = {"requests": statuses.total(), "statuses": dict(statuses), "seconds": took, "traces": traces}
    return {**context(PACKAGES), **found, "alive": alive, "harm": harm}


def main(arguments: Sequence[str]) -> int:
    """Run, write the JSON file, print it; 1 if an answer was 500, a trace was logged, or the server died."""
    parser = argparse.ArgumentParser(prog="tests.stress generated", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--count", type=int, default=100_000, help="requests (default: 100,000)")
    options = parser.parse_args(arguments)
    result = run(options.count)
    print(write_json(options.json, result))
    return int(result["harm"] != 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
