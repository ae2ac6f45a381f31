"""Answers images for many tasks: decode -> batch. Knows no HTTP and no JSON.

All rows of a request go to the batcher together, so that the tasks of one image share its trunk.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from service.engine import DEFAULT_PRIORITY, Batcher, DeadlineExceeded, Row, RowResult
from service.errors import NonFiniteOutput
from service.inputs.decoding import Decoder, Picture
from service.schemas import Timings
from service.tasks.table import LoadedVersion
from service.telemetry.traces import current

OnStage = Callable[[str, float, float, int], None]

PARTS = 6  # decimals of a share

_MILLI = 1e3
_MICROS = 3  # decimals of a millisecond; clocks and schedulers are not more exact


@dataclass(frozen=True, slots=True, eq=False)
class TaskOutput:
    """The output of one version of a task for the images of a request, in their order; its numbers are finite."""

    served: LoadedVersion
    results: Sequence[RowResult]


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """The outputs of all tasks, in the order asked for, and the seconds that decoding the images took."""

    tasks: Sequence[TaskOutput]
    decode_seconds: float


class Predictor:
    """Answers images for any tasks."""

    def __init__(self, decoder: Decoder, batcher: Batcher, *, seconds: float, on_stage: OnStage | None = None) -> None:
        """Put the parts together.

        Args:
            decoder: makes pixels.
            batcher: answers rows.
            seconds: the time that a prediction may take.
            on_stage: is told the name, begin and end (monotonic seconds) and images of a stage of a request.
        """
        self._decoder, self._batcher, self._seconds, self._on_stage = decoder, batcher, seconds, on_stage

    async def predict(
        self,
        tasks: Sequence[LoadedVersion],
        images: Sequence[Picture],
        *,
        seconds: float | None = None,
        priority: int = DEFAULT_PRIORITY,
        client: str | None = None,
    ) -> Outputs:
        """Ask every task about every image.

        Args:
            tasks: the versions to ask.
            images: in their order.
            seconds: the client's timeout, if it is shorter than the server's.
            priority: as of `Batcher.submit`.
            client: as of `Decoder.pixels`.

        Raises:
            ImageError, Overloaded, EngineError, NonFiniteOutput.
        """
        start = time.monotonic()
        deadline = start + min(self._seconds, self._seconds if seconds is None else seconds)
        with self._batcher.coming(len(tasks) * len(images)):
            pixels = await self._decode(images, deadline, client)
        decoded, origin = time.monotonic(), None
        if self._on_stage is not None:
            self._on_stage("decode", start, decoded, len(images))
            origin = current.get()
        rows = [Row(served.resident, image) for served in tasks for image in pixels]
        results = await self._batcher.submit(rows, deadline=deadline, priority=priority, origin=origin)
        parts = [results[start : start + len(pixels)] for start in range(0, len(rows), max(1, len(pixels)))]
        return Outputs([_finite(*pair) for pair in zip(tasks, parts, strict=True)], decoded - start)

    async def _decode(self, images: Sequence[Picture], deadline: float, client: str | None) -> list[np.ndarray]:
        if (pixels := self._decoder.pixels_at_once(images)) is not None:
            return pixels
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await self._decoder.pixels(images, client=client)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before the images were decoded") from None


def _finite(served: LoadedVersion, results: Sequence[RowResult]) -> TaskOutput:
    """Refuse NaN and infinity: they give no order of labels, and JSON cannot express them."""
    for result in results:
        score = 0.0 if result.unknown is None else result.unknown
        if not (np.isfinite(result.logits).all() and np.isfinite(result.features).all() and np.isfinite(score)):
            raise NonFiniteOutput("the task adapter gives no finite answer to this image")
    return TaskOutput(served, results)


def timings(outputs: Outputs) -> Timings:
    """The time of each stage; 0 if no task was asked."""
    results = [result.timing for task in outputs.tasks for result in task.results]
    return Timings(
        decode_ms=_milliseconds(outputs.decode_seconds),
        queue_ms=_milliseconds(max((timing.queue for timing in results), default=0.0)),
        compute_ms=_milliseconds(max((timing.compute for timing in results), default=0.0)),
    )


def _milliseconds(seconds: float) -> float:
    return round(seconds * _MILLI, _MICROS)
