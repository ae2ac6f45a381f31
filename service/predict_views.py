"""From what tasks said to the answers of the predict routes. Pure functions."""

import numpy as np

from service.engine import RowResult
from service.predict import Answered, Said, softmax
from service.schemas import (
    DEFAULT_TOP_K,
    FanoutAnswer,
    ImageResult,
    Output,
    PredictAnswer,
    Prediction,
    TaskAnswer,
    Timings,
)
from service.table import Served

_GIGA = 1e9
_MILLI = 1e3
_MICROS = 3  # decimals of a millisecond: clocks and schedulers know no less
PARTS = 6  # decimals of a share


def predict_answer(answered: Answered, output: Output, top_k: int | None) -> PredictAnswer:
    """The answer of one task."""
    (said,) = answered.said
    return PredictAnswer(
        task=said.served.task,
        version=said.served.info.version,
        sha256=said.served.info.sha256,
        results=_results(said, output, top_k),
        timings=timings(answered),
    )


def fanout_answer(answered: Answered, output: Output, top_k: int | None) -> FanoutAnswer:
    """The answers of many tasks."""
    answers = [
        TaskAnswer(
            task=said.served.task,
            version=said.served.info.version,
            sha256=said.served.info.sha256,
            results=_results(said, output, top_k),
        )
        for said in answered.said
    ]
    return FanoutAnswer(answers=answers, timings=timings(answered))


def timings(answered: Answered) -> Timings:
    """Where the time went; 0 where nobody was asked."""
    results = [result.timing for said in answered.said for result in said.results]
    return Timings(
        decode_ms=_milliseconds(answered.decode_seconds),
        queue_ms=_milliseconds(max((timing.queue for timing in results), default=0.0)),
        compute_ms=_milliseconds(max((timing.compute for timing in results), default=0.0)),
    )


def _milliseconds(seconds: float) -> float:
    return round(seconds * _MILLI, _MICROS)


def _results(said: Said, output: Output, top_k: int | None) -> list[ImageResult]:
    return [image_result(result, said.served, output, top_k) for result in said.results]


def image_result(result: RowResult, served: Served, output: Output, top_k: int | None = None) -> ImageResult:
    """The answer to one image, of the kind asked for."""
    return ImageResult(
        predictions=_best(result.logits, served, top_k or DEFAULT_TOP_K) if output == "probabilities" else None,
        logits=result.logits.tolist() if output == "logits" else None,
        features=result.features.tolist() if output == "features" else None,
        gflops_spent=result.flops_spent / _GIGA,
        gflops_saved=result.flops_saved / _GIGA,
        gflops_shared=result.flops_shared / _GIGA,
        trunk_share=round(result.flops_shared / (result.flops_spent + result.flops_shared), PARTS),
    )


def _best(logits: np.ndarray, served: Served, top_k: int) -> list[Prediction]:
    """The most probable labels first."""
    probabilities, labels = softmax(logits), served.manifest.labels
    best = np.argsort(-logits, kind="stable")[:top_k]  # by logit: distant ones share a probability of zero
    return [Prediction(label=labels[i], index=i, probability=probabilities[i]) for i in best.tolist()]
