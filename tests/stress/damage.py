"""A start over a damaged store: a real server, many tasks, a tenth of them damaged in twelve ways.

    python -m tests.stress damage --tasks 1000 --json damage.json

Every sound task must answer, every damaged one must be refused and listed with its reason, and none may be a 500.
"""

import argparse
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters_store import TaskAdapter, digest, open_store, pack, unpack
from adapters_store.bundled import bundled_tasks
from benchmarks.measure import context, write_json
from tests.attacks import adapters, images
from tests.attacks.requests import request
from tests.stress.wire import PREDICT_KEY, attacked_server, exchange_now, listed, port_of

PACKAGES = ("torch", "fastapi", "uvicorn")
WAYS: Mapping[str, Callable[[bytes], bytes]] = {
    "one bit": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "one byte in the header": lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:],
    "one byte less": lambda data: data[:-1],
    "one byte more": lambda data: data + b"\0",
    "half": lambda data: data[: len(data) // 2],
    "header alone": lambda data: data[:8],
    "empty": lambda _: b"",
    "zeros": lambda data: bytes(len(data)),
    "a page of zeros": lambda data: data[:4096] + bytes(4096) + data[8192:],
    "another file": lambda _: adapters.good(),
    "an archive": lambda _: adapters.zipped(),
    "text": lambda _: b"not a task adapter",
}
_OK, _UNAVAILABLE = 200, 503


def fill(path: Path, count: int) -> dict[str, str]:
    """Publish `count` different tasks; returns their hashes by name."""
    plain = unpack(bundled_tasks()["digits"])
    files = {f"task-{number:04}": pack(_numbered(plain, number)) for number in range(count)}
    with closing(open_store(str(path))) as store:
        store.seed(files)
    return {name: digest(data) for name, data in files.items()}


def _numbered(adapter: TaskAdapter, number: int) -> TaskAdapter:
    return replace(adapter, manifest=replace(adapter.manifest, description=f"task {number}"))


def spoil(path: Path, hashes: Sequence[str]) -> None:
    """Damage the stored bytes of these hashes, each in the next of the twelve ways."""
    ways = list(WAYS.values())
    with closing(sqlite3.connect(path)) as database:
        found = {digest(body): (name, body) for name, body in database.execute("SELECT name, body FROM objects")}
        for number, sha256 in enumerate(hashes):
            name, body = found[sha256]
            database.execute("UPDATE objects SET body = ? WHERE name = ?", (ways[number % len(ways)](body), name))
        database.commit()


def run(count: int) -> dict[str, Any]:
    """Fill, spoil a tenth, start, ask every task; everything as JSON values."""
    result: dict[str, Any] = {**context(PACKAGES), "tasks": count, "damaged": max(1, count // 10)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hashes = fill(folder / "store.db", count)
        bad = sorted(hashes)[:: max(1, count // result["damaged"])][: result["damaged"]]
        spoil(folder / "store.db", [hashes[task] for task in bad])
        start = time.monotonic()
        with attacked_server(folder, "--request-seconds", "60") as server:
            result["ready_s"] = time.monotonic() - start
            port = port_of(server)
            sound = [task for task in sorted(hashes) if task not in bad]
            result["sound_answers"] = _asked(port, sound)
            result["damaged_answers"] = _asked(port, bad)
            listed = _listed(server.url)
            result["listed_with_reason"] = sum(bool(listed.get(task)) for task in bad)
            result["listed_in_error"] = sum(bool(listed.get(task)) for task in sound)
    wrong = sum(times for status, times in result["sound_answers"].items() if status != str(_OK))
    wrong += sum(times for status, times in result["damaged_answers"].items() if status != str(_UNAVAILABLE))
    return {**result, "harm": wrong + result["damaged"] - result["listed_with_reason"] + result["listed_in_error"]}


def _asked(port: int, tasks: Sequence[str]) -> dict[str, int]:
    """Answers of these tasks to one image, by status."""
    image, kind = images.small("JPEG"), "Content-Type: image/jpeg"
    asked = (request("POST", f"/v1/tasks/{task}/predict", image, kind, key=PREDICT_KEY) for task in tasks)
    return dict(Counter(exchange_now(port, data, seconds=60.0).name for data in asked))


def _listed(url: str) -> dict[str, str | None]:
    """The reason why each task is not served."""
    return {task["task"]: task.get("reason") for task in listed(url)}


def main(arguments: Sequence[str]) -> int:
    """Run, write the JSON file, print it; the exit status is 1 if a task was answered or listed wrongly."""
    parser = argparse.ArgumentParser(prog="tests.stress damage", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--tasks", type=int, default=1000, help="published; a tenth is damaged (default: 1000)")
    options = parser.parse_args(arguments)
    result = run(options.tasks)
    print(write_json(options.json, result))
    return int(result["harm"] != 0)
