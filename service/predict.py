"""A prediction from encoded images to named labels: resolve -> decode -> batch -> name. Knows no HTTP."""

import asyncio
import time
from collections.abc import Sequence

import numpy as np

from service.decoding import Decoder
from service.engine import Batcher, DeadlineExceeded, Row, RowResult
from service.errors import NonFiniteOutput
from service.metrics import Prediction as Record
from service.payload import Payload
from service.registry import Registry, Served
from service.schemas import DEFAULT_TOP_K, ImageResult, PredictAnswer, Prediction

_GIGA = 1e9


class Predictor:
    """Answers images for any task."""

    def __init__(self, registry: Registry, decoder: Decoder, batcher: Batcher, *, seconds: float) -> None:
        """Put the parts together; `seconds` is the time a prediction may take."""
        self._registry, self._decoder, self._batcher, self._seconds = registry, decoder, batcher, seconds

    async def predict(self, task: str, payload: Payload, record: Record) -> PredictAnswer:
        """Answer all images of a request from one version of the task.

        Raises:
            UnknownTask, TaskUnavailable, ImageError, Overloaded, EngineError, NonFiniteOutput.
        """
        deadline = time.monotonic() + self._seconds
        record.served = served = self._registry.resolve(task)
        pixels = await self._decode(payload.images, deadline)
        results = await self._batcher.submit([Row(served.resident, image) for image in pixels], deadline=deadline)
        record.gflops_spent = sum(result.flops_spent for result in results) / _GIGA
        record.gflops_saved = sum(result.flops_saved for result in results) / _GIGA
        top_k = payload.top_k or DEFAULT_TOP_K
        return PredictAnswer(
            task=task,
            version=served.info.version,
            sha256=served.info.sha256,
            results=[name(result, served, top_k) for result in results],
        )

    async def _decode(self, images: Sequence[bytes], deadline: float) -> list[np.ndarray]:
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await self._decoder.pixels(images)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before the images were decoded") from None


def name(result: RowResult, served: Served, top_k: int) -> ImageResult:
    """The most probable labels of one image.

    Raises:
        NonFiniteOutput: the logits are no numbers, so that no order of labels means anything.
    """
    if not np.isfinite(result.logits).all():
        raise NonFiniteOutput("the task adapter gives no finite answer to this image")
    probabilities = softmax(result.logits)
    best = np.argsort(-result.logits, kind="stable")[:top_k]  # by logit: distant ones share a probability of zero
    labels = served.manifest.labels
    return ImageResult(
        predictions=[Prediction(label=labels[i], index=i, probability=probabilities[i]) for i in best.tolist()],
        gflops_spent=result.flops_spent / _GIGA,
        gflops_saved=result.flops_saved / _GIGA,
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (K,), in float64."""
    exponents = np.exp(logits.astype(np.float64) - float(logits.max()))
    probabilities: np.ndarray = exponents / exponents.sum()
    return probabilities
