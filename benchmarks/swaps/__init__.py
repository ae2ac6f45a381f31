"""Whether a swap loses an answer: a real server, clients that never pause, and a change of what is live every second.

    python -m benchmarks swaps --json swaps.json [--quick]

    material    files that become versions, and what each must answer
    changes     one change after the other: uploads, alias moves, canaries, rollbacks, deletions
    clients     ask all the time, and write down what came
    verdict     which answers should not have been given

Everything is judged from outside, by the clients' monotonic clock: it is the same for all processes of a machine.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import context, write_json
from benchmarks.swaps.changes import Swapper
from benchmarks.swaps.clients import Log, asking
from benchmarks.swaps.material import Material, prepare
from benchmarks.swaps.verdict import gap, latencies, verdict
from mimi.demo.server import running_server
from service.client import Client

PACKAGES = ("torch", "fastapi", "starlette", "uvicorn", "httpx2")
_PATIENCE = "30"  # seconds a prediction may take: swaps are tried here, not how fast a shared machine is


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, by how many, how often."""

    seconds: float = 600.0  # of swapping
    quiet: float = 30.0  # seconds before, in which nothing changes
    clients: int = 32
    period: float = 1.0  # seconds from one change to the next


QUICK = Plan(seconds=20.0, quiet=3.0)


async def load(url: str, material: Material, swapper: Swapper, plan: Plan) -> tuple[Log, Log]:
    """Ask in quiet, then under swaps; returns both logs."""
    quiet, swapped = Log(), Log()
    async with asking(url, material, plan.clients, quiet):
        await asyncio.sleep(plan.quiet)
    async with asking(url, material, plan.clients, swapped):
        await asyncio.to_thread(swapper.run, plan.seconds, plan.period)
    return quiet, swapped


def run(plan: Plan) -> dict[str, object]:
    """Start a server, load it, swap, and judge; returns everything measured, as JSON values."""
    result = {**context(PACKAGES), "plan": {name: getattr(plan, name) for name in Plan.__slots__}}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder), options=["--request-seconds", _PATIENCE]) as server,
        Client(server.url) as client,
    ):
        material = prepare(client)
        swapper = Swapper(client, material)
        started = time.monotonic()
        quiet, swapped = asyncio.run(load(server.url, material, swapper, plan))
        result |= {
            "seconds": time.monotonic() - started,
            "quiet": {"answers": len(quiet.seen), "latency_ms": latencies(quiet.seen)},
            "swapping": {
                "answers": len(swapped.seen),
                "latency_ms": latencies(swapped.seen),
                "longest_time_without_an_answer_ms": gap(swapped.seen),
            },
            **swapper.report(),
            **verdict([quiet, swapped], swapper.history, swapper.files),
        }
    return result


def main(arguments: Sequence[str]) -> int:
    """Swap, write the JSON file, print it; the exit status is 1 if any answer was missing or wrong."""
    parser = argparse.ArgumentParser(prog="benchmarks swaps", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--quick", action="store_true", help="20 seconds instead of 10 minutes")
    options = parser.parse_args(arguments)
    result = run(QUICK if options.quick else Plan())
    print(write_json(options.json, result))
    return int(result["harm"] != 0)
