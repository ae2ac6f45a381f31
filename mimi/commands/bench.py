"""`mimi bench`: how fast tasks are answered, by an engine in this process or by a server.

It is a quick look at one machine. `benchmarks/` measures the project's claims, with peers and spread.
"""

import asyncio
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated, Any

import typer

from mimi.connection import Connection
from mimi.errors import BadOption, CommandError
from mimi.files import read_file
from mimi.local import Computing, Local, opened, read_task
from mimi.parameters import Json
from mimi.terminal import Column, format_table, print_json, progress, working

_TASK = (
    "task adapter files or tasks that ship, here; with --url, tasks of the server; every one of them if none is named"
)
_WARM = 2  # batches or requests before those that count
_SIDE = 96  # pixels of the image that is made up


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much to ask, and for how long.

    Attributes:
        seconds: of each measurement.
        batches: sizes of batches, between commas, here.
        concurrency: clients that ask at the same time, on a server.
        image: ask about this image; none: one that is made up.
    """

    seconds: float = 3.0
    batches: tuple[int, ...] = (1, 16)
    concurrency: int = 8
    image: Annotated[Path | None, "FILE"] = None

    def __post_init__(self) -> None:
        """Refuse what measures nothing."""
        if not self.batches or min(self.seconds, self.concurrency, *self.batches) <= 0:
            raise BadOption("--seconds, --batches and --concurrency are more than 0")


def bench(
    load: Annotated[Load, "Options"],
    server: Annotated[Connection, "Server"],
    computing: Annotated[Computing, "Computing here"],
    tasks: Annotated[list[str] | None, typer.Argument(metavar="TASK", help=_TASK)] = None,
    json: Json = False,
) -> int:
    """Measure how fast tasks are answered: batches of an engine here, or requests to a server with --url.

    Times are those of this machine as busy as it is now.
    """
    rows = _server(tasks, load, server) if server.url else _here(tasks, load, computing)
    if json:
        print_json(rows)
        return 0
    columns = [
        Column("what"),
        Column("batch"),
        Column("answers/s", ",.1f"),
        Column("median ms", ".2f"),
        Column("p95 ms", ".2f"),
        Column("p99 ms", ".2f"),
        Column("failed"),
    ]
    names = ("what", "batch", "per_second", "median_ms", "p95_ms", "p99_ms", "failed")
    print(format_table(columns, [[row[name] for name in names] for row in rows]))
    return 0


def _here(words: Sequence[str] | None, load: Load, computing: Computing) -> list[dict[str, Any]]:
    """One task in a batch, and several tasks in a batch, at each size; every row has an image of its own."""
    from adapters_store.bundled import bundled_tasks

    with working("loading the backbone"):
        local = opened([read_task(word) for word in words or sorted(bundled_tasks())], computing)
    first = local.tasks[0][0].task
    cases = [(f"task {first}", batch, 1) for batch in load.batches]
    if len(local.tasks) > 1:
        cases += [(f"{len(local.tasks)} tasks mixed", batch, len(local.tasks)) for batch in load.batches if batch > 1]
    rows = []
    with progress(len(cases), "measurements") as counted:
        for what, batch, several in cases:
            work = _batch(local, batch, several, load.image)
            rows.append(_row(what, batch, _times(work, load.seconds), images=batch))
            counted.advance()
    return rows


def _batch(local: Local, batch: int, tasks: int, image: Path | None) -> Callable[[], object]:
    import numpy as np

    from backbone import decode
    from service.engine import Row

    size, random = local.backbone.preprocessing.size, np.random.default_rng(0)
    residents = [resident for _, resident in local.tasks[:tasks]]
    pixels = random.integers(0, 256, (batch, *size, 3), dtype=np.uint8)
    if image is not None:
        pixels[:] = local.backbone.preprocessing.pixels(decode(read_file(image)))
        pixels[:, 0, 0, 0] = np.arange(batch) % 256  # different rows: equal images are computed once
    rows = [Row(residents[index % len(residents)], pixels[index]) for index in range(batch)]
    return lambda: local.engine.run(rows)


def _times(work: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of each call, for so long."""
    for _ in range(_WARM):
        work()
    times: list[float] = []
    end = time.monotonic() + seconds
    while not times or time.monotonic() < end:
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return times


def _row(what: str, batch: int, times: Sequence[float], *, images: float, failed: int = 0) -> dict[str, Any]:
    """Figures of a measurement; `images` are answered in the time of each call."""
    cuts = quantiles(times, n=100, method="inclusive") if len(times) > 1 else [times[0]] * 99
    return {
        "what": what,
        "batch": batch,
        "calls": len(times),
        "per_second": images * len(times) / sum(times),
        "median_ms": 1000 * median(times),
        "p95_ms": 1000 * cuts[94],
        "p99_ms": 1000 * cuts[98],
        "failed": failed,
    }


def _server(words: Sequence[str] | None, load: Load, server: Connection) -> list[dict[str, Any]]:
    """Requests with one image each, from several clients at once, to the tasks in turn."""
    data = read_file(load.image) if load.image else _made_up()
    with server.client() as client:
        names = list(words or [each.task for each in client.tasks().tasks if each.ready])
        if not names:
            raise CommandError("the server has no task that is ready")
        for name in names:
            client.predict(name, data)  # what would fail for every request fails here; and weights get loaded
    times, failed = asyncio.run(_asked(names, data, load, server))
    if not times:
        raise CommandError(f"none of {failed} requests was answered: ask for less with --concurrency")
    row = _row(f"{len(names)} tasks of {server.address}", 1, times, images=load.concurrency, failed=failed)
    return [row]


async def _asked(names: Sequence[str], data: bytes, load: Load, server: Connection) -> tuple[list[float], int]:
    """Seconds of each answered request, and how many failed."""
    from service.client import ClientError, RetryPolicy

    times: list[float] = []
    failed, number = 0, 0

    async def ask_on(end: float) -> None:
        """Ask at least once, and go on until the end."""
        nonlocal failed, number
        asks = True
        while asks:
            name, number = names[number % len(names)], number + 1
            begun = time.perf_counter()
            try:
                await client.predict(name, data, top_k=1)
            except ClientError:
                failed += 1
            else:
                times.append(time.perf_counter() - begun)
            asks = time.monotonic() < end

    async with server.asynchronous(RetryPolicy(attempts=1)) as client:
        end = time.monotonic() + load.seconds
        await asyncio.gather(*(ask_on(end) for _ in range(load.concurrency)))
    return times, failed


def _made_up() -> bytes:
    """An image of noise, the same every time, as PNG."""
    import numpy as np
    from PIL import Image

    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()
