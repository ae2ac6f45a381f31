"""Decoding images off the event loop: a bounded pool of threads behind a bounded line. Knows no HTTP and no tasks."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from time import perf_counter
from typing import TypeVar

import numpy as np

from backbone import ImageError, ImageLimits, Preprocessing, decode, from_pixels
from service.errors import DecodeBacklog

T = TypeVar("T")
Picture = bytes | np.ndarray  # an encoded image; uint8 (h, w, 3); or float32 (3, H, W), normalised already


class Decoder:
    """Turns encoded images into the pixels a backbone reads."""

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
            limits: of one image.
            threads: that decode.
            backlog: most jobs that may wait or run.
            on_decoded: told the seconds that each image took, in the thread that decoded it.
        """
        self._preprocessing, self._limits, self._backlog = preprocessing, limits, backlog
        self._on_decoded = on_decoded
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="mimi-decode")
        self._lock = Lock()
        self._waiting = 0

    async def pixels(self, images: Sequence[Picture]) -> list[np.ndarray]:
        """Decode and prepare all images, or none: uint8 (H, W, 3) each; what came normalised stays as it is.

        Raises:
            DecodeBacklog: they do not fit into the line.
            ImageError: one of them is not an acceptable image; a note says which.
        """
        jobs = [self._job(index, data, of=len(images)) for index, data in enumerate(images)]
        return await self._run(jobs)

    async def offload(self, job: Callable[[], T]) -> T:
        """Run one other job, such as parsing a long body, in the same pool."""
        return (await self._run([job]))[0]

    def close(self) -> None:
        """Give up what has not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _job(self, index: int, image: Picture, *, of: int) -> Callable[[], np.ndarray]:
        def job() -> np.ndarray:
            start = perf_counter()
            try:
                pixels = self._prepare(image)
            except ImageError as error:
                if of > 1:
                    error.add_note(f"this is image {index + 1} of {of}")
                raise
            self._on_decoded(perf_counter() - start)
            return pixels

        return job

    def _prepare(self, image: Picture) -> np.ndarray:
        if isinstance(image, bytes):
            return self._preprocessing.pixels(decode(image, self._limits, enough=self._preprocessing.enough))
        if image.dtype == np.float32:
            return image
        return self._preprocessing.pixels(from_pixels(image, self._limits))

    async def _run(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        self._enter(len(jobs))
        futures = [self._submit(job) for job in jobs]
        try:
            return await asyncio.gather(*map(asyncio.wrap_future, futures))
        finally:
            for future in futures:  # after a failure or a cancelled request: what has not begun never will
                future.cancel()

    def _submit(self, job: Callable[[], T]) -> "Future[T]":
        future = self._pool.submit(job)
        future.add_done_callback(lambda _: self._leave())  # when the thread is free, not when the request is over
        return future

    def _enter(self, count: int) -> None:
        with self._lock:
            if self._waiting + count > self._backlog:
                raise DecodeBacklog("too many images wait to be decoded")
            self._waiting += count

    def _leave(self) -> None:
        with self._lock:
            self._waiting -= 1
