"""From the start of a real `mimi serve` to its first answer: a process, a socket, a fresh store, an image."""

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image

from benchmarks.engine.bench import Bench, Found
from benchmarks.engine.pipe import ROOT, WorkerError
from benchmarks.measure import interval

TASK = "digits"
STARTS, QUICK_STARTS = 15, 6
PATIENCE = 300.0  # seconds


def measure(bench: Bench, found: Found) -> None:
    """Each start has a store of its own, which it seeds with the bundled tasks."""
    picture = encoded()
    seconds = [first_answer(picture) for _ in range(QUICK_STARTS if bench.quick else STARTS)]
    found.estimates["first_answer_s"] = interval(seconds)
    found.details["start"] = {"seconds": seconds}


def encoded() -> bytes:
    """A picture as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def first_answer(picture: bytes) -> float:
    """Seconds from the start of the process to its first prediction.

    Raises:
        WorkerError: it gave none.
    """
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with serving(Path(folder)) as process:
            url = address(process)
            request = Request(f"{url}/v1/tasks/{TASK}/predict", data=picture, headers={"Content-Type": "image/png"})
            with urlopen(request, timeout=PATIENCE) as response:
                answered = b"predictions" in response.read()
            seconds = time.perf_counter() - start
    if not answered:
        raise WorkerError("the server's first answer has no predictions")
    return seconds


@contextmanager
def serving(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """The server with its defaults, stopped at the end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIMI_")}
    command = [sys.executable, "-m", "mimi", "serve", "--port", "0", "--store", str(folder / "store.db")]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**kept, "PYTHONPATH": str(ROOT)}, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=log
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)


def address(process: "subprocess.Popen[str]") -> str:
    """What the server says that it listens on.

    Raises:
        WorkerError: it ended without saying.
    """
    line = process.stdout.readline() if process.stdout else ""
    words = [word for word in line.split() if word.startswith("http://")]
    if not words:
        raise WorkerError(f"the server did not start: {line!r}")
    return words[0]
