"""Decodes images off the event loop, in two bounded thread pools. Knows no HTTP and no tasks.

A single tiny image is decoded on the event loop: to hand it to a thread and back would take longer. For all others, the
cost is estimated from their bytes before they are decoded. Cheap and costly requests have pools of their own, so a
photograph never waits for a huge image. The cost of an image and of a request is bounded. If a request is cancelled,
its work ends after the current image.
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
from backbone.images import EXTRA_FORMATS, FORMATS, inspect, inspect_tiny, missing_decoders, render, work
from service.errors import DecodeBacklog, SettingsError, TooManyUnderWay
from service.executor import started_pool
from service.settings import Settings
from service.telemetry.logs import carried

T = TypeVar("T")
Picture = bytes | np.ndarray  # an encoded image; uint8 (h, w, 3); or float32 (3, H, W), normalised already

CHEAP_WORK = 16_000_000  # of a cheap request: a few photographs, or one image of 16 megapixels
_NICE = 10  # lower priority of the threads for costly images
_STUCK_SECONDS = 10.0  # no image within the limits takes a fifth of this


def image_limits(settings: Settings) -> ImageLimits:
    """The limits of the images of a request.

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
    """The images of a request, those that are still to be decoded, and their cost."""

    images: Sequence[Encoded | np.ndarray]
    work: int
    pixels: np.ndarray | None = None  # of the only image, if it was decoded at once


class Decoder:
    """Turns encoded images into the input pixels of a backbone.

    Attributes:
        stuck_after: seconds at one image after which a thread counts as stuck.
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
            threads: for cheap requests; half as many are for costly ones.
            backlog: most jobs that may wait or run in each pool.
            on_decoded: is called with the seconds of each image, in the thread that decoded it.
        """
        self._preprocessing, self._limits = preprocessing, limits
        self._on_decoded = on_decoded
        self._cheap = _Pool("mimi-decode", threads, backlog)
        self._costly = _Pool("mimi-decode-costly", max(1, threads // 2), backlog, nice=_NICE)
        self.stuck_after = _STUCK_SECONDS

    @property
    def stuck(self) -> int:
        """Threads that have worked on one image for longer than any image takes."""
        return self._cheap.stuck(self.stuck_after) + self._costly.stuck(self.stuck_after)

    @property
    def healthy(self) -> bool:
        """Whether a thread for cheap images is left."""
        return self._cheap.stuck(self.stuck_after) < self._cheap.threads

    def pixels_at_once(self, images: Sequence[Picture]) -> list[np.ndarray] | None:
        """Prepare here what costs less than a job in another thread: normalised images, or one tiny image.

        None: `pixels` is to do it.

        Raises:
            ImageError, MemoryError: as `pixels`.
        """
        normalised = [image for image in images if isinstance(image, np.ndarray) and image.dtype == np.float32]
        if len(normalised) == len(images):
            return [self._prepare(image) for image in normalised]
        if len(images) != 1 or not isinstance(images[0], bytes):
            return None
        encoded = inspect_tiny(images[0], self._limits)
        return None if encoded is None else [self._prepare(encoded)]

    async def pixels(self, images: Sequence[Picture], *, client: str | None = None) -> list[np.ndarray]:
        """Decode and prepare all images, or none: uint8 (H, W, 3) each. Normalised images stay unchanged.

        Args:
            images: of one request.
            client: the name of a key, or an address. Work that outlives its request is counted for it.

        Raises:
            DecodeBacklog: they exceed the backlog.
            TooManyUnderWay: costly work of an earlier request of this client still runs.
            ImageError: one of them is not an acceptable image; a note says which. Or all together cost too much.
            MemoryError: there is not enough memory for one of them.
        """
        self._cheap.enter(len(images))
        (plan,) = await self._cheap.run([lambda: self._plan(images)], places=len(images), client=client)
        if plan.pixels is not None:
            return [plan.pixels]
        pool = self._cheap if plan.work <= CHEAP_WORK else self._costly
        if pool is self._costly:
            pool.check(client)
        pool.enter(len(images), checked=pool is self._costly)
        jobs = [self._job(index, image, of=len(images)) for index, image in enumerate(plan.images)]
        return await pool.run(jobs, client=client)

    async def offload(self, job: Callable[[], T]) -> T:
        """Run one other job, such as parsing a long body, in the pool for cheap requests."""
        self._cheap.enter(1)
        return (await self._cheap.run([job]))[0]

    def close(self) -> None:
        """Cancel all jobs that have not begun."""
        self._cheap.close()
        self._costly.close()

    def _plan(self, images: Sequence[Picture]) -> _Plan:
        """Judge all images by their bytes; a single cheap image is decoded at once."""
        judged: list[Encoded | np.ndarray] = []
        for index, image in enumerate(images):
            with _named(index, of=len(images)):
                judged.append(inspect(image, self._limits) if isinstance(image, bytes) else image)
        total = sum(work(image) for image in judged if isinstance(image, Encoded))
        if total > self._limits.max_work:
            raise ImageTooCostly("the images of this request would together take too much work to decode")
        if len(judged) == 1 and total <= CHEAP_WORK:
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


class _Pool:
    """A few threads with a bounded backlog."""

    def __init__(self, name: str, threads: int, backlog: int, *, nice: int = 0) -> None:
        """Start nothing yet; `nice` lowers the priority of the threads."""
        self.threads, self._backlog = threads, backlog
        self._pool = started_pool(name, threads, partial(_stand_back, nice))
        self._lock = threading.Lock()
        self._waiting = 0
        self._running: dict[object, float] = {}  # since when, in monotonic seconds
        self._outliving: Counter[str | None] = Counter()  # by client

    def stuck(self, seconds: float) -> int:
        """Jobs that have run for at least so long."""
        with self._lock:
            return sum(time.monotonic() - start >= seconds for start in self._running.values())

    def check(self, client: str | None) -> None:
        """Refuse a client if work of an earlier request of its own still runs."""
        with self._lock:
            if self._outliving[client]:
                raise TooManyUnderWay("images of an earlier request are still being decoded")

    def enter(self, count: int, *, checked: bool = True) -> None:
        """Count jobs in; `checked=False` for jobs that another pool has admitted."""
        with self._lock:
            if checked and self._waiting + count > self._backlog:
                raise DecodeBacklog("too many images wait to be decoded")
            self._waiting += count

    async def run(
        self, jobs: Sequence[Callable[[], T]], *, places: int | None = None, client: str | None = None
    ) -> list[T]:
        """Do all jobs, or none; counts out as many places as there are jobs, or `places`."""
        futures = [self._submit(job, places or 1) for job in jobs]
        answers = [asyncio.wrap_future(future) for future in futures]
        try:
            return [await answers[0]] if len(answers) == 1 else await asyncio.gather(*answers)
        finally:
            for future in futures:  # after a failure or a cancelled request: what has not begun never will
                if not future.cancel():
                    self._outlive(future, client)

    def close(self) -> None:
        """Cancel all jobs that have not begun."""
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
        """Count a running job for its client until it ends."""

        def over(_: object) -> None:
            with self._lock:
                self._outliving[client] -= 1
                if not self._outliving[client]:
                    del self._outliving[client]

        with self._lock:
            self._outliving[client] += 1
        future.add_done_callback(over)


def _stand_back(nice: int) -> None:
    """Lower the priority of this thread, where the system has priorities of threads."""
    if nice and hasattr(os, "setpriority") and os.uname().sysname == "Linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
