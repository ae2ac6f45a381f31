"""SIGTERM under traffic, many times: how long a server takes to end, and which answers are lost.

    python -m tests.stress drains --count 100 --json drains.json

Some servers run at once, each with traffic of its own, which goes on until its server is gone.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.measure import context, write_json
from benchmarks.serving import load
from benchmarks.serving.scene import photos
from tests.attacks.requests import PREDICT, request
from tests.stress import traffic
from tests.stress.wire import PREDICT_KEY, attacked_server, port_of, started, told

PACKAGES = ("fastapi", "uvicorn")
AT_ONCE = 4
RATE = 20.0  # requests a second to each server
_IMAGES = 64
_BEFORE = 2.0  # seconds of traffic before the signal
_SECONDS = 5.0  # of traffic: longer than until the server takes no more requests


def good_requests() -> list[bytes]:
    """Predictions about photographs."""
    return [request("POST", PREDICT, image, "Content-Type: image/jpeg", key=PREDICT_KEY) for image in photos(_IMAGES)]


def run(count: int, seconds: float = 3600.0) -> list[dict[str, Any]]:
    """Stop so many servers; none but the first is started after `seconds`. Returns the figures of each."""
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        load.save(good_requests(), folder / "good.requests")

        def one(number: int) -> dict[str, Any] | None:
            in_time = number == 0 or time.monotonic() < end
            return _drained(folder / f"drain-{number}", folder / "good.requests") if in_time else None

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return [found for found in pool.map(one, range(count)) if found]


def _drained(place: Path, requests: Path) -> dict[str, Any]:
    place.mkdir()
    with attacked_server(place, "--notice-seconds", "1") as server:
        job = traffic.Job(port_of(server), str(requests), RATE, _SECONDS, fresh=0.0)
        with started("tests.stress.traffic", traffic.as_json(job)) as good:
            time.sleep(_BEFORE)
            start = time.monotonic()
            server.process.terminate()
            stopped = {"exit": server.process.wait(60), "seconds": time.monotonic() - start}
            return {**stopped, **told(good)}


def lost(found: Sequence[dict[str, Any]]) -> int:
    """Answers that did not come, on connections that the server had accepted."""
    return sum(each["statuses"].get("lost", 0) + each["statuses"].get("unanswered", 0) for each in found)


def main(arguments: Sequence[str]) -> int:
    """Run, write the JSON file, print it; 1 if an answer was lost, or a server did not end as it should."""
    parser = argparse.ArgumentParser(prog="tests.stress drains", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--count", type=int, default=100, help="servers to stop (default: 100)")
    options = parser.parse_args(arguments)
    found = run(options.count)
    harm = lost(found) + sum(each["exit"] != 0 for each in found)
    print(write_json(options.json, {**context(PACKAGES), "drains": found, "harm": harm}))
    return int(harm != 0)
