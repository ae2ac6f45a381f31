"""The answers of the protocol: output tensors from a task's outputs, and the metadata of server and models.

With the classification extension an output becomes BYTES [N, k] of "value:index:label", best first.

Source: inference_rest.md, "Inference Response JSON Object"; Triton, extension_binary_data.md and
extension_classification.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import NamedTuple

import numpy as np

from backbone import Backbone
from service.engine import RowResult
from service.oip.requests import OutputSpec
from service.oip.schemas import (
    FEATURES,
    IMAGE,
    LOGITS,
    PROBABILITIES,
    ModelMetadata,
    RepositoryModel,
    ServerMetadata,
    TensorMetadata,
)
from service.oip.tensors import bytes_of_strings
from service.predict import PARTS, Outputs, softmax, timings
from service.tasks.table import LoadedVersion, TaskEntry

_GIGA = 1e9


class Tensor(NamedTuple):
    """One output: its datatype, its shape, and its elements row-major, for JSON and as bytes."""

    datatype: str
    shape: list[int]
    elements: Sequence[object]
    data: bytes


def tensor(spec: OutputSpec, served: LoadedVersion, results: Sequence[RowResult]) -> Tensor:
    """One output for all images."""
    values = np.stack([_values(spec.name, result) for result in results]).astype("<f4")  # (N, K) or (N, F)
    if spec.classification is None:
        return Tensor("FP32", list(values.shape), values.reshape(-1).tolist(), values.tobytes())
    labels = () if spec.name == FEATURES else served.manifest.labels
    count = min(spec.classification, values.shape[1])
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


RELEASE = version("mimi-serving")
EXTENSIONS = ["binary_tensor_data", "classification", "model_repository", "schedule_policy"]
PLATFORM = "mimi_safetensors"


def server_metadata() -> ServerMetadata:
    """This server."""
    return ServerMetadata(name="mimi-serving", version=RELEASE, extensions=EXTENSIONS)


def model_metadata(served: LoadedVersion, versions: Iterable[int], backbone: Backbone) -> ModelMetadata:
    """A task by one of its versions.

    The one input named is the one that every client has: encoded images. It may be UINT8 [-1, H, W, 3] as well, and
    `pixels` may stand in its place; named here, clients would send them all.
    """
    classes = len(served.manifest.labels)
    sizes = {LOGITS: classes, PROBABILITIES: classes, FEATURES: backbone.feature_dim}
    return ModelMetadata(
        name=served.task,
        versions=[str(version) for version in sorted(versions)],
        platform=PLATFORM,
        inputs=[TensorMetadata(name=IMAGE, datatype="BYTES", shape=[-1])],
        outputs=[TensorMetadata(name=name, datatype="FP32", shape=[-1, size]) for name, size in sizes.items()],
    )


def repository_index(table: Mapping[str, TaskEntry], *, only_ready: bool) -> list[RepositoryModel]:
    """Every version that an alias points at here, and every task without one."""
    found = [each for task, entry in sorted(table.items()) for each in _listed(task, entry)]
    return [each for each in found if each.state == "READY" or not only_ready]


def _listed(task: str, entry: TaskEntry) -> list[RepositoryModel]:
    versions = sorted({named.info.version for named in entry.aliased() if named.content.reason is None})
    if not versions:
        return [RepositoryModel(name=task, state="UNAVAILABLE", reason=entry.reason or "no alias points at a version")]
    return [RepositoryModel(name=task, version=str(version), state="READY") for version in versions]
