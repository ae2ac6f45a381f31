"""What the server and its tasks say of themselves in the words of the protocol. Pure functions."""

from collections.abc import Iterable, Mapping

from backbone import Backbone
from service.http.openapi import release
from service.http.v2.schemas import ModelMetadata, RepositoryModel, ServerMetadata, TensorMetadata
from service.http.v2.shapes import FEATURES, IMAGE, LOGITS, PROBABILITIES
from service.tasks.table import Entry, Served

EXTENSIONS = ["binary_tensor_data", "classification", "model_repository", "schedule_policy"]
PLATFORM = "mimi_safetensors"


def server() -> ServerMetadata:
    """This server."""
    return ServerMetadata(name="mimi-serving", version=release(), extensions=EXTENSIONS)


def model(served: Served, versions: Iterable[int], backbone: Backbone) -> ModelMetadata:
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


def index(table: Mapping[str, Entry], *, only_ready: bool) -> list[RepositoryModel]:
    """Every version that an alias points at here, and every task without one."""
    found = [each for task, entry in sorted(table.items()) for each in _listed(task, entry)]
    return [each for each in found if each.state == "READY" or not only_ready]


def _listed(task: str, entry: Entry) -> list[RepositoryModel]:
    versions = sorted({named.info.version for named in entry.named() if named.content.reason is None})
    if not versions:
        return [RepositoryModel(name=task, state="UNAVAILABLE", reason=entry.reason or "no alias points at a version")]
    return [RepositoryModel(name=task, version=str(version), state="READY") for version in versions]
