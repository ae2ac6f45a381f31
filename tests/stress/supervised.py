"""An engine that dies or hangs, under a supervisor: how soon waiters know, and how soon the server is ready again.

    python -m tests.stress supervised --tasks 1000 --json supervised.json

The supervisor starts the server again whenever it ends, as Docker and systemd do. The same image is asked before and
after: a restarted server must answer the same, bit by bit.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import context, write_json
from tests.attacks import images
from tests.attacks.requests import request
from tests.stress.damage import fill
from tests.stress.engine_victim import FAULTS
from tests.stress.rolling import free_ports, until_ready
from tests.stress.wire import PREDICT_KEY, exchange_now, write_keys

PACKAGES = ("torch", "fastapi", "uvicorn")
_PATIENCE = 60.0
_READY = request("GET", "/health/ready")
_UNAVAILABLE = 503
_PREDICT = "/v1/tasks/task-0000/predict"


@contextmanager
def supervised(folder: Path, port: int) -> Iterator[list[int]]:
    """A server that is started again whenever it ends; yields its exit statuses so far."""
    command = [sys.executable, "-m", "tests.stress.engine_victim", str(folder), "serve", "--port", str(port)]
    command += ["--store", str(folder / "store.db"), "--keys-file", str(write_keys(folder)), "--request-seconds", "50"]
    command += ["--precision", "fp32"]  # answers are compared with those of the reference
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIMI_")}
    exits: list[int] = []
    over, started = threading.Event(), threading.Event()
    running: list[subprocess.Popen[bytes]] = []

    def supervise() -> None:
        while not over.is_set():
            with (folder / "server.log").open("ab") as log:
                running.append(subprocess.Popen(command, env=kept, stdout=log, stderr=subprocess.STDOUT))
            started.set()
            exits.append(running[-1].wait())

    thread = threading.Thread(target=supervise, name="supervisor")
    thread.start()
    try:
        started.wait()
        until_ready(port)
        yield exits
    finally:
        over.set()
        running[-1].kill()
        thread.join()


def broken(fault: str, folder: Path, port: int, exits: Sequence[int]) -> dict[str, Any]:
    """Let the engine fail under a request; seconds until its answer, until readiness says so, and until it is back."""
    ended, before = len(exits), _logits(port)
    (folder / fault).touch()
    asked = threading.Thread(target=lambda: answers.append((_ask(port), time.monotonic() - start)))
    answers: list[tuple[int, float]] = []
    start = time.monotonic()
    asked.start()
    while (folder / fault).exists() and time.monotonic() - start < _PATIENCE:
        time.sleep(0.001)
    begun = time.monotonic()
    while exchange_now(port, _READY, seconds=5.0).status == 200 and time.monotonic() - begun < _PATIENCE:
        time.sleep(0.02)
    noticed = time.monotonic() - begun
    asked.join()
    while len(exits) == ended and time.monotonic() - begun < _PATIENCE:
        time.sleep(0.02)
    gone = time.monotonic() - begun
    until_ready(port)
    return {
        "status": answers[0][0],
        "answered_s": answers[0][1],
        "noticed_s": noticed,
        "ended_s": gone,
        "ready_again_s": time.monotonic() - begun - noticed,  # since it was noticed
        "exit": exits[-1],
        "same_answers": _logits(port) == before,
    }


def _ask(port: int) -> int:
    image = images.small("JPEG")
    data = request("POST", _PREDICT, image, "Content-Type: image/jpeg", key=PREDICT_KEY)
    return exchange_now(port, data, seconds=_PATIENCE).status


def _logits(port: int) -> list[Any]:
    """The server's logits for some images, to the last bit, without the timings."""
    found = []
    for kind in ("JPEG", "PNG", "WEBP"):
        data = request(
            "POST",
            f"{_PREDICT}?output=logits",
            images.small(kind),
            f"Content-Type: image/{kind.lower()}",
            key=PREDICT_KEY,
        )
        found.append(json.loads(exchange_now(port, data, seconds=_PATIENCE).body)["results"])
    return found


def run(tasks: int) -> dict[str, Any]:
    """Both faults over a store of so many tasks; everything as JSON values."""
    with tempfile.TemporaryDirectory() as name:
        folder, (port,) = Path(name), free_ports(1)
        fill(folder / "store.db", tasks)
        with supervised(folder, port) as exits:
            faults = {fault: broken(fault, folder, port, exits) for fault in FAULTS}
    harm = sum(
        each["status"] != _UNAVAILABLE or each["exit"] == 0 or not each["same_answers"] for each in faults.values()
    )
    return {**context(PACKAGES), "tasks": tasks, "faults": faults, "harm": harm}


def main(arguments: Sequence[str]) -> int:
    """Run, write the JSON file, print it; 1 if a waiter got something else than 503, or answers changed."""
    parser = argparse.ArgumentParser(prog="tests.stress supervised", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--tasks", type=int, default=1000, help="in the store (default: 1000)")
    options = parser.parse_args(arguments)
    result = run(options.tasks)
    print(write_json(options.json, result))
    return int(result["harm"] != 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
