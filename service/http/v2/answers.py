"""From what a task said to the body of an inference response: output tensors as JSON, or as bytes behind it.

With the classification extension an output becomes BYTES [N, k] of "value:index:label", best first.

Source: inference_rest.md, "Inference Response JSON Object"; Triton, extension_binary_data.md and
extension_classification.md.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from service.engine import RowResult
from service.http.v2.questions import Question, Wanted
from service.http.v2.shapes import FEATURES, LOGITS
from service.http.v2.tensors import bytes_of_strings
from service.http.views import PARTS, timings
from service.predict import Answered, softmax
from service.tasks.table import Served

_GIGA = 1e9


class Tensor(NamedTuple):
    """One output: its datatype, its shape, and its elements row-major, for JSON and as bytes."""

    datatype: str
    shape: list[int]
    elements: Sequence[object]
    data: bytes


class Rendered(NamedTuple):
    """A response body; `header` is the length of its JSON part where bytes follow it."""

    body: bytes
    header: int | None


def render(answered: Answered, question: Question) -> Rendered:
    """The response to a question that one task was asked."""
    (said,) = answered.said
    tensors = [tensor(wanted, said.served, said.results) for wanted in question.outputs]
    pairs = list(zip(question.outputs, tensors, strict=True))
    document = {
        "model_name": said.served.task,
        "model_version": str(said.served.info.version),
        **({} if question.id is None else {"id": question.id}),
        "parameters": _parameters(answered),
        "outputs": [_output(wanted, found) for wanted, found in pairs],
    }
    head = json.dumps(document, allow_nan=False).encode()
    if not any(wanted.binary for wanted in question.outputs):
        return Rendered(head, None)
    return Rendered(b"".join([head, *(found.data for wanted, found in pairs if wanted.binary)]), len(head))


def tensor(wanted: Wanted, served: Served, results: Sequence[RowResult]) -> Tensor:
    """One output for all images."""
    values = np.stack([_values(wanted.name, result) for result in results]).astype("<f4")  # (N, K) or (N, F)
    if wanted.classification is None:
        return Tensor("FP32", list(values.shape), values.reshape(-1).tolist(), values.tobytes())
    labels = () if wanted.name == FEATURES else served.manifest.labels
    count = min(wanted.classification, values.shape[1])
    best = [text for row in values for text in classify(row, labels, count)]
    return Tensor("BYTES", [len(values), count], best, bytes_of_strings([text.encode() for text in best]))


def classify(values: np.ndarray, labels: Sequence[str], count: int) -> list[str]:
    """The largest values (K,) as "value:index:label", without the label where there is none."""
    best = np.argsort(-values, kind="stable")[:count].tolist()
    return [f"{values[i]:f}:{i}" + (f":{labels[i]}" if labels else "") for i in best]


def _values(name: str, result: RowResult) -> np.ndarray:
    if name == LOGITS:
        return result.logits
    return result.features if name == FEATURES else softmax(result.logits)


def _output(wanted: Wanted, found: Tensor) -> dict[str, Any]:
    described = {"name": wanted.name, "datatype": found.datatype, "shape": found.shape}
    if wanted.binary:
        return {**described, "parameters": {"binary_data_size": len(found.data)}}
    return {**described, "data": found.elements}


def _parameters(answered: Answered) -> dict[str, str | float]:
    """What the other routes say as well, as far as the protocol has room for it."""
    (said,) = answered.said
    spent = sum(result.flops_spent for result in said.results)
    shared = sum(result.flops_shared for result in said.results)
    return {
        "sha256": said.served.info.sha256,
        **timings(answered).model_dump(),
        "gflops_spent": spent / _GIGA,
        "gflops_saved": sum(result.flops_saved for result in said.results) / _GIGA,
        "gflops_shared": shared / _GIGA,
        "trunk_share": round(shared / (spent + shared), PARTS),
    }
