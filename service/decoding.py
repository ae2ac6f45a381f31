"""Decoding images off the event loop: bounded lines in front of few threads. Knows no HTTP and no tasks.

What an image costs is known before it is decoded. Requests that cost little and those that cost much wait in lines of
their own, so that a photograph never waits for a poster. What one request may cost is bounded, and so is every image;
the work of a request that is given up ends with the image that is just being decoded.
"""

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from backbone import ImageError, ImageLimits, Preprocessing, from_pixels
from backbone.errors import ImageTooCostly
from backbone.image_bytes import Encoded
from backbone.images import EXTRA_FORMATS, FORMATS, inspect, missing_decoders, render, work
from service.errors import DecodeBacklog, SettingsError, TooManyUnderWay
from service.executor import started_pool
from service.logs import carried
from service.settings import Settings

T = TypeVar("T")
Picture = bytes | np.ndarray  # an encoded image; uint8 (h, w, 3); or float32 (3, H, W), normalised already

LITTLE = 16_000_000  # work of a request that costs little: a few photographs, or one picture of 16 megapixels
_NICE = 10  # how far the threads for the others stand back where processors are short
_STUCK_SECONDS = 10.0  # no image within the limits takes a fifth of it


def image_limits(settings: Settings) -> ImageLimits:
    """What the images of a request may be.

    Raises:
        SettingsError: a format is unknown, or nothing installed decodes it.
    """
    formats = {form.lower(): form for form in (*FORMATS, *EXTRA_FORMATS)}
    unknown = [name for name in settings.image_formats if name not in formats]
    if unknown or not settings.image_formats:
        raise SettingsError(f"image_formats: one or more of {', '.join(formats)}, between commas")
    accepted = tuple(formats[name] for name in settings.image_formats)
    if missing := missing_decoders(accepted):
        raise SettingsError(f"image_formats: nothing installed decodes {', '.join(missing).lower()}")
    return ImageLimits(
        max_bytes=settings.image_bytes,
        max_pixels=settings.image_pixels,
        max_work=settings.request_pixels,
        formats=accepted,
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """The images of a request, judged: what is left to decode, and what that costs."""

    images: Sequence[Encoded | np.ndarray]
    work: int
    pixels: np.ndarray | None = None  # of the only image, where it was decoded at once


class Decoder:
    """Turns encoded images into the pixels a backbone reads.

    Attributes:
        stuck_after: seconds after which a thread that is still at one image counts as stuck.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        limits: ImageLimits,
        *,
        threads: int,
        backlog: int,
        on_decoded: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """Start nothing yet.

        Args:
            preprocessing: what the backbone reads.
            limits: of one image, and of the images of one request together.
            threads: that decode what costs little; half as many decode what costs much.
            backlog: most jobs that may wait or run, of those that cost little and of the others.
            on_decoded: told the seconds that each image took, in the thread that decoded it.
        """
        self._preprocessing, self._limits = preprocessing, limits
        self._on_decoded = on_decoded
        self._little = _Lane("mimi-decode", threads, backlog)
        self._much = _Lane("mimi-decode-much", max(1, threads // 2), backlog, nice=_NICE)
        self.stuck_after = _STUCK_SECONDS

    @property
    def stuck(self) -> int:
        """Threads that are at one image for longer than any image takes."""
        return self._little.stuck(self.stuck_after) + self._much.stuck(self.stuck_after)

    @property
    def healthy(self) -> bool:
        """Whether a thread is left for images that cost little."""
        return self._little.stuck(self.stuck_after) < self._little.threads

    async def pixels(self, images: Sequence[Picture], *, client: str | None = None) -> list[np.ndarray]:
        """Decode and prepare all images, or none: uint8 (H, W, 3) each; what came normalised stays as it is.

        Args:
            images: of one request.
            client: who asks, such as the name of a key. What still runs of requests that were given up counts for it.

        Raises:
            DecodeBacklog: they do not fit into the line.
            TooManyUnderWay: costly work for this client outlives its request; it must wait with more of that kind.
            ImageError: one of them is not an acceptable image; a note says which. Or all together cost too much.
            MemoryError: there is not enough memory for one of them.
        """
        self._little.enter(len(images))
        (plan,) = await self._little.run([lambda: self._plan(images)], places=len(images), client=client)
        if plan.pixels is not None:
            return [plan.pixels]
        lane = self._little if plan.work <= LITTLE else self._much
        if lane is self._much:
            lane.check(client)
        lane.enter(len(images), checked=lane is self._much)
        jobs = [self._job(index, image, of=len(images)) for index, image in enumerate(plan.images)]
        return await lane.run(jobs, client=client)

    async def offload(self, job: Callable[[], T]) -> T:
        """Run one other job, such as parsing a long body, among those that cost little."""
        self._little.enter(1)
        return (await self._little.run([job]))[0]

    def close(self) -> None:
        """Give up what has not begun."""
        self._little.close()
        self._much.close()

    def _plan(self, images: Sequence[Picture]) -> _Plan:
        """Judge all images by their bytes; one that costs little is decoded at once."""
        judged: list[Encoded | np.ndarray] = []
        for index, image in enumerate(images):
            with _named(index, of=len(images)):
                judged.append(inspect(image, self._limits) if isinstance(image, bytes) else image)
        total = sum(work(image) for image in judged if isinstance(image, Encoded))
        if total > self._limits.max_work:
            raise ImageTooCostly("the images of this request would together take too much work to decode")
        if len(judged) == 1 and total <= LITTLE:
            return _Plan((), total, self._prepare(judged[0]))
        return _Plan(judged, total)

    def _job(self, index: int, image: Encoded | np.ndarray, *, of: int) -> Callable[[], np.ndarray]:
        def job() -> np.ndarray:
            with _named(index, of=of):
                return self._prepare(image)

        return job

    def _prepare(self, image: Encoded | np.ndarray) -> np.ndarray:
        start = time.perf_counter()
        if isinstance(image, Encoded):
            whole = render(image, self._limits, enough=self._preprocessing.enough)
            pixels = self._preprocessing.pixels(whole)
        elif image.dtype == np.float32:
            pixels = image
        else:
            pixels = self._preprocessing.pixels(from_pixels(image, self._limits))
        self._on_decoded(time.perf_counter() - start)
        return pixels


@contextmanager
def _named(index: int, *, of: int) -> Iterator[None]:
    """Inside, an error about an image says which of several it is."""
    try:
        yield
    except ImageError as error:
        if of > 1:
            error.add_note(f"this is image {index + 1} of {of}")
        raise


class _Lane:
    """A few threads behind a line that has an end."""

    def __init__(self, name: str, threads: int, backlog: int, *, nice: int = 0) -> None:
        """Start nothing yet; `nice` is how far the threads stand back behind others."""
        self.threads, self._backlog = threads, backlog
        self._pool = started_pool(name, threads, partial(_stand_back, nice))
        self._lock = threading.Lock()
        self._waiting = 0
        self._running: dict[object, float] = {}  # since when, in monotonic seconds
        self._outliving: Counter[str | None] = Counter()  # by client

    def stuck(self, seconds: float) -> int:
        """Jobs that have run for as long."""
        with self._lock:
            return sum(time.monotonic() - start >= seconds for start in self._running.values())

    def check(self, client: str | None) -> None:
        """Refuse a client for whom work goes on whose request is over."""
        with self._lock:
            if self._outliving[client]:
                raise TooManyUnderWay("images of an earlier request are still being decoded", key=client)

    def enter(self, count: int, *, checked: bool = True) -> None:
        """Take places in the line; unchecked, for those who have stood in it already."""
        with self._lock:
            if checked and self._waiting + count > self._backlog:
                raise DecodeBacklog("too many images wait to be decoded")
            self._waiting += count

    async def run(
        self, jobs: Sequence[Callable[[], T]], *, places: int | None = None, client: str | None = None
    ) -> list[T]:
        """Do all jobs, or none; gives back as many places as there are jobs, or `places`."""
        futures = [self._submit(job, places or 1) for job in jobs]
        try:
            return await asyncio.gather(*map(asyncio.wrap_future, futures))
        finally:
            for future in futures:  # after a failure or a cancelled request: what has not begun never will
                if not future.cancel():
                    self._outlive(future, client)

    def close(self) -> None:
        """Give up what has not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, job: Callable[[], T], places: int) -> "Future[T]":
        future = self._pool.submit(carried(lambda: self._timed(job)))
        future.add_done_callback(lambda _: self._leave(places))  # when the thread is free, not when the request is over
        return future

    def _timed(self, job: Callable[[], T]) -> T:
        token = object()
        with self._lock:
            self._running[token] = time.monotonic()
        try:
            return job()
        finally:
            with self._lock:
                del self._running[token]

    def _leave(self, places: int) -> None:
        with self._lock:
            self._waiting -= places

    def _outlive(self, future: "Future[T]", client: str | None) -> None:
        """Count a job for its client until it ends; one that has ended is counted for no time at all."""

        def over(_: object) -> None:
            with self._lock:
                self._outliving[client] -= 1
                if not self._outliving[client]:
                    del self._outliving[client]

        with self._lock:
            self._outliving[client] += 1
        future.add_done_callback(over)


def _stand_back(nice: int) -> None:
    """Let other threads of the machine go first; where threads have no priority of their own, nothing happens."""
    if nice and hasattr(os, "setpriority") and os.uname().sysname == "Linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
