"""Answers about images, by an engine in this process or by a server. Both keep the order of the images.

An image that cannot be read or is refused becomes an answer with an error. An error that concerns every image is
raised, such as a lost server or a wrong key.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeVar

from mimi.answers import Answer, Output, answered
from mimi.connection import Connection
from mimi.errors import BadOption, UnreadableFile
from mimi.images import Picture
from mimi.local import Local
from mimi.terminal import Progress

if TYPE_CHECKING:
    import numpy as np

    from service.client import AsyncClient
    from service.engine import Resident, RowResult
    from service.schemas import TaskAnswer

_GIGA = 1e9
_AHEAD = 4  # batches that are decoded ahead of the engine
_SECONDS = 300.0  # for one image on a server, attempts included
_ATTEMPTS = 8

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Options of the questions, and of the output.

    Attributes:
        output: write answers into this file; a run that finds it goes on where it stopped.
        format: table, jsonl, csv or parquet; none: by the file's name, else a table.
        top_k: labels of each answer, best first.
        version: the version of a server's task to ask; none: the one behind --alias.
        alias: the alias of a server's task to ask; none: live.
        image_column: of a Parquet file: bytes, paths, or structs of both.
        path_column: of a CSV file; its paths are relative to its folder.
        batch: images of a forward pass, here.
        concurrency: images under way at the same time, on a server.
    """

    output: Annotated[Path | None, "FILE"] = None
    format: Literal["table", "jsonl", "csv", "parquet"] | None = None
    top_k: int = 5
    version: int | None = None
    alias: str | None = None
    image_column: str = "image"
    path_column: str = "path"
    batch: int = 16
    concurrency: int = 8

    def __post_init__(self) -> None:
        """Refuse numbers below 1."""
        if min(self.top_k, self.batch, self.concurrency, self.version or 1) < 1:
            raise BadOption("--top-k, --batch, --concurrency and --version are 1 or more")


@dataclass(frozen=True, slots=True)
class Loaded:
    """An image's bytes, and their SHA-256; or why there are none."""

    name: str
    data: bytes = b""
    sha256: str = ""
    error: str = ""


def load(picture: Picture) -> Loaded:
    """Read an image; what cannot be read has a reason instead."""
    try:
        data = picture.read()
    except UnreadableFile as error:
        return Loaded(picture.name, error=str(error))
    return Loaded(picture.name, data, sha256(data).hexdigest())


class Run:
    """Counts images, and hands answers on."""

    def __init__(self, output: Output, tasks: Sequence[str]) -> None:
        self._output, self._tasks = output, tasks
        self.counted, self.skipped = Progress(0), 0

    def has(self, image: Loaded) -> bool:
        """Whether an earlier run answered an image for every task."""
        return all((task, image.name, image.sha256) in self._output.done for task in self._tasks)

    def skip(self) -> None:
        """An earlier run answered an image."""
        self.skipped += 1
        self.counted.advance()

    def take(self, answers: Sequence[Answer]) -> None:
        """All answers about one image."""
        fresh = (each for each in answers if (each["task"], each["image"], each["sha256"]) not in self._output.done)
        self._output.add(fresh)
        self.counted.advance(failed=any(each["error"] is not None for each in answers))

    def fail(self, image: Loaded, reason: str) -> None:
        """No task can answer about an image."""
        self.take([answered(image.name, image.sha256, task, error=reason) for task in self._tasks])


class Asker(Protocol):
    """Answers images: here, or on a server."""

    @property
    def tasks(self) -> Sequence[str]:
        """The tasks of each answer."""

    def answers_as(self, answer: Answer) -> bool:
        """Whether an earlier answer came from what answers now."""

    def ask(self, pictures: Sequence[Picture], run: Run) -> None:
        """Give `run` the answers about every picture, in their order."""


class Here:
    """Answers in this process: images are read and decoded ahead in threads, and computed in batches."""

    def __init__(self, local: Local, asking: Asking) -> None:
        self._local, self._asking = local, asking
        self._files = {file.task: file.sha256 for file, _ in local.tasks}

    @property
    def tasks(self) -> Sequence[str]:
        """See `Asker`."""
        return list(self._files)

    def answers_as(self, answer: Answer) -> bool:
        """See `Asker`."""
        return bool(self._files.get(answer["task"]) == answer["adapter"])

    def ask(self, pictures: Sequence[Picture], run: Run) -> None:
        """See `Asker`."""
        size = max(1, self._asking.batch // len(self._files))
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            prepared = _ordered(pool, lambda picture: self._prepare(picture, run), pictures, ahead=_AHEAD * size)
            for batch in _batches(prepared, size):
                self._answer(batch, run)

    def _prepare(self, picture: Picture, run: Run) -> "tuple[Loaded, np.ndarray | str | None]":
        """An image with its pixels, or why there are none; None: an earlier run answered it."""
        from backbone import ImageError, decode

        image, preprocessing = load(picture), self._local.backbone.preprocessing
        if image.error or run.has(image):
            return image, image.error or None
        try:
            return image, preprocessing.pixels(decode(image.data, enough=preprocessing.enough))
        except ImageError as error:
            return image, str(error)
        except MemoryError:
            return image, "there is not enough memory to decode it"

    def _answer(self, batch: "Sequence[tuple[Loaded, np.ndarray | str | None]]", run: Run) -> None:
        """Compute a batch; images without pixels are told in their place."""
        pixels = {index: found for index, (_, found) in enumerate(batch) if not isinstance(found, str | None)}
        results = self._computed(pixels)
        for index, (image, found) in enumerate(batch):
            if found is None:
                run.skip()
            elif isinstance(found, str):
                run.fail(image, found)
            else:
                pairs = zip(self._local.tasks, results[index], strict=True)
                run.take([self._row(image, file.task, resident, result) for (file, resident), result in pairs])

    def _computed(self, pixels: "Mapping[int, np.ndarray]") -> "dict[int, list[RowResult | str]]":
        """For each image the result of each task, or why there is none; a batch that fails is computed row by row."""
        from service.engine import Row

        residents = [resident for _, resident in self._local.tasks]
        rows = [Row(resident, image) for image in pixels.values() for resident in residents]
        try:
            results: list[RowResult | str] = list(self._local.engine.run(rows)) if rows else []
        except (MemoryError, RuntimeError):
            results = [self._alone(row) for row in rows]
        width = len(residents)
        return {index: results[width * place : width * (place + 1)] for place, index in enumerate(pixels)}

    def _alone(self, row: Any) -> "RowResult | str":  # noqa: ANN401 - a Row, whose import takes seconds
        try:
            return self._local.engine.run([row])[0]
        except (MemoryError, RuntimeError) as error:
            return f"the engine failed: {error}"

    def _row(self, image: Loaded, task: str, resident: "Resident", result: "RowResult | str") -> Answer:
        import numpy as np

        from service.engine.core import is_known
        from service.prediction.answers import rank

        origin = {"adapter": resident.sha256}
        if isinstance(result, str):
            return answered(image.name, image.sha256, task, **origin, error=result)
        if not np.isfinite(result.logits).all():
            return answered(image.name, image.sha256, task, **origin, error="the answer is no finite number")
        (shares, order, given), labels = rank(result.logits, resident.manifest), resident.manifest.labels
        best = order[: self._asking.top_k]
        named = [{"label": labels[i], "index": i, "probability": round(shares[i], 6)} for i in best]
        costs = {"gflops_spent": result.flops_spent / _GIGA, "gflops_saved": result.flops_saved / _GIGA}
        rest = {
            "labels": None if given is None else [labels[i] for i in given],
            "known": None if result.unknown is None else is_known(result.unknown),
        }
        return answered(image.name, image.sha256, task, **origin, predictions=named, **rest, **costs)


class Remote:
    """Answers of a server: a few images are under way at the same time, and answers keep their order."""

    def __init__(self, words: Sequence[str], asking: Asking, server: Connection) -> None:
        if len(words) > 1 and (asking.version is not None or asking.alias is not None):
            raise BadOption("--version and --alias are of one task")
        self._words, self._asking, self._server = list(words), asking, server
        self._current = self._versions()

    @property
    def tasks(self) -> Sequence[str]:
        """See `Asker`."""
        return list(self._current)

    def answers_as(self, answer: Answer) -> bool:
        """See `Asker`."""
        return answer["adapter"] in self._current.get(answer["task"], ())

    def _versions(self) -> dict[str, set[str]]:
        """For each task the SHA-256 of what answers now; raises ClientError where the server or a task is not there."""
        alias, version = self._asking.alias or "live", self._asking.version
        with self._server.client() as client:
            names = (
                [each.task for each in client.tasks().tasks if each.ready] if self._words == ["all"] else self._words
            )
            listed = {name: client.versions(name).versions for name in names}
        return {
            name: {each.sha256 for each in versions if (each.version == version if version else alias in each.aliases)}
            for name, versions in listed.items()
        }

    def ask(self, pictures: Sequence[Picture], run: Run) -> None:
        """See `Asker`."""
        asyncio.run(self._ask(pictures, run))

    async def _ask(self, pictures: Sequence[Picture], run: Run) -> None:
        from service.client import RetryPolicy

        async with self._server.asynchronous(RetryPolicy(seconds=_SECONDS, attempts=_ATTEMPTS)) as client:
            window: deque[asyncio.Task[Callable[[], None]]] = deque()
            try:
                for picture in pictures:
                    window.append(asyncio.create_task(self._one(client, picture, run)))
                    await _let_finish(window, self._asking.concurrency - 1)
                await _let_finish(window, 0)
            finally:
                for task in window:
                    task.cancel()
                await asyncio.gather(*window, return_exceptions=True)

    async def _one(self, client: "AsyncClient", picture: Picture, run: Run) -> Callable[[], None]:
        """Ask about one image; what is returned hands the answer on, in its turn.

        Raises:
            ClientError: what would happen to every other image too.
        """
        from service.client import (
            ConnectionFailed,
            DeadlineExceeded,
            InvalidAnswer,
            InvalidRequest,
            NotConnected,
            NotFound,
            ServerError,
        )

        image = await asyncio.to_thread(load, picture)
        if image.error:
            return lambda: run.fail(image, image.error)
        if run.has(image):
            return run.skip
        try:
            answers = await self._answers(client, image.data)
        except (NotConnected, NotFound):
            raise
        except (InvalidRequest, InvalidAnswer, ServerError, DeadlineExceeded, ConnectionFailed) as error:
            reason = str(error)
            return lambda: run.fail(image, reason)
        return lambda: run.take([self._row(image, each) for each in answers])

    async def _answers(self, client: "AsyncClient", data: bytes) -> "Sequence[TaskAnswer]":
        asking, tasks = self._asking, self.tasks
        if len(tasks) > 1:
            return (await client.predict_many(tasks, data, top_k=asking.top_k)).answers
        found = await client.predict(tasks[0], data, top_k=asking.top_k, at=asking.version or asking.alias)
        return [found]

    def _row(self, image: Loaded, answer: "TaskAnswer") -> Answer:
        (result,) = answer.results
        return answered(
            image.name,
            image.sha256,
            answer.task,
            version=answer.version,
            adapter=answer.sha256,
            predictions=[each.model_dump() for each in result.predictions or []],
            labels=result.labels,
            known=result.known,
            gflops_spent=result.gflops_spent,
            gflops_saved=result.gflops_saved,
        )


async def _let_finish(window: "deque[asyncio.Task[Callable[[], None]]]", left: int) -> None:
    """Wait for the oldest until so many are left, and hand their answers on."""
    while len(window) > left:
        (await window[0])()
        window.popleft()


def _ordered(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], *, ahead: int) -> Iterator[R]:
    """The results of threads, in the order of the items; at most `ahead` items are under way or waiting."""
    window: deque[Future[R]] = deque()
    try:
        for item in items:
            window.append(pool.submit(work, item))
            if len(window) >= ahead:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
    finally:
        for future in window:
            future.cancel()


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
