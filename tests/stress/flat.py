"""Memory of a real server under requests: after a warm-up it must not grow with their number.

    python -m tests.stress flat --requests 30000 --json flat.json

Good predictions, refused ones and health checks, on kept and on new connections. The slope is the least-squares line
through the resident memory at each count of requests. The first 50,000 are left out, or the first half of fewer:
until then caches and pools fill up.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]

from benchmarks.measure import context, write_json
from tests.attacks import images
from tests.attacks.requests import PREDICT, request
from tests.stress.wire import PREDICT_KEY, ask, attacked_server, connect, port_of

PACKAGES = ("torch", "fastapi", "uvicorn")
_MIB = 2**20
_WARM_UP = 50_000  # requests
_A_CONNECTION = 50  # requests on each
_CLIENTS = 4
_EVERY = 20  # requests: a sample of memory
_KEPT = 500  # samples that the file has, about
Samples = list[list[float]]  # requests so far, and MiB


def mixture() -> list[bytes]:
    """One good prediction, three refused ones, and what probes ask."""
    png = request("POST", PREDICT, images.small("PNG"), "Content-Type: image/png", key=PREDICT_KEY)
    return [
        png,
        request("POST", PREDICT, b"no image", "Content-Type: image/png", key=PREDICT_KEY),
        request("POST", PREDICT, b'{"images": ["?"]}', "Content-Type: application/json", key=PREDICT_KEY),
        request("GET", "/v1/tasks/nothing", key=PREDICT_KEY),
        request("GET", "/v1/tasks", key=PREDICT_KEY),
        request("GET", "/health/ready"),
        request("GET", "/health/live"),
    ]


async def sent(
    port: int, count: int, seconds: float, process: psutil.Process
) -> tuple[Counter[str], list[list[float]]]:
    """Send so many requests, or for so long; the answers by status, and (requests, MiB) pairs."""
    kinds, statuses, end = mixture(), Counter[str](), time.monotonic() + seconds
    samples: Samples = []

    async def talk(number: int) -> None:
        reader, writer = await connect(port)
        for turn in range(_A_CONNECTION):
            reply = await ask(reader, writer, kinds[(turn + number) % len(kinds)])
            statuses[reply.name] += 1
            if statuses.total() % _EVERY == 0:
                samples.append([statuses.total(), process.memory_info().rss / _MIB])
            if reply.last:
                break
        writer.close()

    async def client(number: int) -> None:
        while statuses.total() < count and time.monotonic() < end:
            with suppress(OSError, EOFError):
                await talk(number)

    await asyncio.gather(*(client(number) for number in range(_CLIENTS)))
    return statuses, samples


def warm(samples: Samples) -> Samples:
    """The samples after the warm-up."""
    return samples[min(len(samples) // 2, sum(requests < _WARM_UP for requests, _ in samples)) :]


def slope(samples: Samples) -> float:
    """MiB per 10,000 requests after the warm-up."""
    rest = np.array(warm(samples))
    return float(np.polyfit(rest[:, 0], rest[:, 1], 1)[0] * 10_000)


def run(count: int, seconds: float = 3600.0) -> dict[str, Any]:
    """Send, and see what memory did; everything as JSON values."""
    with tempfile.TemporaryDirectory() as name, attacked_server(Path(name)) as server:
        process = psutil.Process(server.process.pid)
        statuses, samples = asyncio.run(sent(port_of(server), count, seconds, process))
    rest = warm(samples)
    kept = samples[:: max(1, len(samples) // _KEPT)]
    found = {"requests": statuses.total(), "statuses": dict(statuses), "samples": kept}
    growth = {"slope_mib_per_10000": slope(samples), "growth_mib": rest[-1][1] - rest[0][1]}
    return {**context(PACKAGES), **found, **growth, "harm": statuses["500"]}


def main(arguments: Sequence[str]) -> int:
    """Run, write the JSON file, print the figures; 1 if memory grew by 1 MiB or more in 10,000 requests."""
    parser = argparse.ArgumentParser(prog="tests.stress flat", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--requests", type=int, default=30_000, help="to send (default: 30,000)")
    parser.add_argument("--seconds", type=float, default=3600.0, help="at most (default: 3600)")
    options = parser.parse_args(arguments)
    result = run(options.requests, options.seconds)
    write_json(options.json, result)
    print(f"{result['requests']} requests: {result['slope_mib_per_10000']:+.2f} MiB per 10,000")
    return int(result["slope_mib_per_10000"] >= 1 or bool(result["harm"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
