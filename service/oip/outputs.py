"""The answers of the protocol: output tensors from a task's outputs, and the metadata of server and models.

With the classification extension an output becomes BYTES [N, k] of "value:index:label", best first.

Source: inference_rest.md, "Inference Response JSON Object"; Triton, extension_binary_data.md and
extension_classification.md.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from adapters_store import Manifest
from adapters_store.artifact import says_what_is_known
from service.engine import RowResult
from service.engine.core import is_known
from service.errors import InvalidInference
from service.oip.requests import OutputSpec, ParsedRequest
from service.oip.schemas import (
    FEATURES,
    GIVEN,
    KNOWN,
    LOGITS,
    PROBABILITIES,
    UNKNOWN_SCORE,
)
from service.oip.tensors import bytes_of_strings
from service.prediction.answers import given, probabilities_of
from service.prediction.predict import PARTS, Outputs, timings
from service.tasks.table import LoadedVersion

_GIGA = 1e9


class Tensor(NamedTuple):
    """One output: its datatype, its shape, and its elements row-major, for JSON and as bytes."""

    datatype: str
    shape: list[int]
    elements: Sequence[object]
    data: bytes


def chosen(parsed: ParsedRequest, manifest: Manifest) -> list[OutputSpec]:
    """The outputs of a request to a task: those that were named, or all that the task has.

    Raises:
        InvalidInference: the task does not have one that was named.
    """
    has = outputs_of(manifest, threshold=parsed.threshold)
    if missing := [spec.name for spec in parsed.outputs if spec.name not in has]:
        raise InvalidInference(f"this task has no output {missing[0]}: its file does not say how answers are read")
    if parsed.others is None:
        return list(parsed.outputs)
    named = {spec.name for spec in parsed.outputs}
    return [*parsed.outputs, *(OutputSpec(name, parsed.others.binary) for name in has if name not in named)]


def outputs_of(manifest: Manifest, threshold: float | None = None) -> dict[str, tuple[str, int | None]]:
    """Datatype of each output, and how many elements an image has: None, one without a dimension of its own."""
    classes = len(manifest.labels)
    found: dict[str, tuple[str, int | None]] = dict.fromkeys((LOGITS, PROBABILITIES), ("FP32", classes))
    found[FEATURES] = ("FP32", -1)
    if manifest.answers is not None or threshold is not None:
        found[GIVEN] = ("BOOL", classes)
    if says_what_is_known(manifest):
        found |= {KNOWN: ("BOOL", None), UNKNOWN_SCORE: ("FP32", None)}
    return found


def tensors(outputs: Outputs, parsed: ParsedRequest) -> list[tuple[OutputSpec, Tensor]]:
    """Every output of a request that asked one task, in the order of the answer.

    Raises:
        InvalidInference: as `chosen`.
    """
    (task,) = outputs.tasks
    specs = chosen(parsed, task.served.manifest)
    return [(spec, tensor(spec, task.served, task.results, parsed.threshold)) for spec in specs]


def tensor(
    spec: OutputSpec, served: LoadedVersion, results: Sequence[RowResult], threshold: float | None = None
) -> Tensor:
    """One output for all images; `threshold` is for all labels, in the place of those in the file."""
    if spec.name in (GIVEN, KNOWN):
        flags = _flags(spec.name, served.manifest, results, threshold)
        return Tensor("BOOL", list(flags.shape), flags.reshape(-1).tolist(), flags.tobytes())
    values = _numbers(spec.name, served.manifest, results).astype("<f4")
    if spec.classification is None:
        return Tensor("FP32", list(values.shape), values.reshape(-1).tolist(), values.tobytes())
    labels = () if spec.name == FEATURES else served.manifest.labels
    count = min(spec.classification, values.shape[1])
    best = [text for row in values for text in classify(row, labels, count)]
    return Tensor("BYTES", [len(values), count], best, bytes_of_strings([text.encode() for text in best]))


def classify(values: np.ndarray, labels: Sequence[str], count: int) -> list[str]:
    """The largest values (K,) as "value:index:label", without the label if there is none."""
    best = np.argsort(-values, kind="stable")[:count].tolist()
    return [f"{values[i]:f}:{i}" + (f":{labels[i]}" if labels else "") for i in best]


def _numbers(name: str, manifest: Manifest, results: Sequence[RowResult]) -> np.ndarray:
    """(N, K), (N, F), or (N,)."""
    if name == UNKNOWN_SCORE:
        return np.array([result.unknown for result in results])
    if name == FEATURES:
        return np.stack([result.features for result in results])
    logits = np.stack([result.logits for result in results])
    return logits if name == LOGITS else probabilities_of(logits, manifest)


def _flags(name: str, manifest: Manifest, results: Sequence[RowResult], threshold: float | None) -> np.ndarray:
    """(N,) or (N, K), bool."""
    if name == KNOWN:
        return np.array([result.unknown is not None and is_known(result.unknown) for result in results])
    reached = given(_numbers(PROBABILITIES, manifest, results), manifest, threshold)
    return np.zeros((len(results), len(manifest.labels)), np.bool_) if reached is None else reached


def parameters(outputs: Outputs) -> dict[str, str | float]:
    """Timings and FLOPs, which the protocol has no other place for."""
    (task,) = outputs.tasks
    spent = sum(result.flops_spent for result in task.results)
    shared = sum(result.flops_shared for result in task.results)
    return {
        "sha256": task.served.info.sha256,
        **timings(outputs).model_dump(),
        "gflops_spent": spent / _GIGA,
        "gflops_saved": sum(result.flops_saved for result in task.results) / _GIGA,
        "gflops_shared": shared / _GIGA,
        "trunk_share": round(shared / (spent + shared), PARTS),
    }
