"""The protocol's documents about the server and its models (our tasks): metadata, configuration, statistics, index.

Source: inference_rest.md, "Server Metadata", "Model Metadata"; Triton, extension_model_configuration.md and
extension_statistics.md.
"""

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version

from backbone import Backbone
from service.metrics.statistics import Total, VersionTotals
from service.oip.outputs import outputs_of
from service.oip.schemas import (
    FEATURES,
    IMAGE,
    PIXELS,
    ConfigParameter,
    ConfigTensor,
    Duration,
    InferenceStatistics,
    ModelConfig,
    ModelMetadata,
    ModelStatistics,
    RepositoryModel,
    ServerMetadata,
    TensorMetadata,
    VersionStatistics,
)
from service.tasks.table import LoadedVersion, TaskEntry

EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "schedule_policy",
    "statistics",
]
RELEASE = version("mimi-serving")
PLATFORM = "mimi_safetensors"
_BACKEND = "mimi"
_CHANNELS = 3
_NONE = Duration(count=0, ns=0)


def server_metadata(precision: str) -> ServerMetadata:
    """This server, which computes in a precision."""
    parameters = {"precision": precision}
    return ServerMetadata(name="mimi-serving", version=RELEASE, extensions=EXTENSIONS, parameters=parameters)


def model_metadata(served: LoadedVersion, versions: Iterable[int], backbone: Backbone) -> ModelMetadata:
    """A task by one of its versions.

    A request has one of the inputs: encoded images, or images normalised already. `image` may have the shape [-1]
    too. It may be UINT8 [-1, H, W, 3] as well, which metadata cannot say: it has one datatype for each name.
    """
    height, width = backbone.preprocessing.size
    return ModelMetadata(
        name=served.task,
        versions=[str(number) for number in sorted(versions)],
        platform=PLATFORM,
        inputs=[
            TensorMetadata(name=IMAGE, datatype="BYTES", shape=[-1, 1]),
            TensorMetadata(name=PIXELS, datatype="FP32", shape=[-1, _CHANNELS, height, width]),
        ],
        outputs=[
            TensorMetadata(name=name, datatype=datatype, shape=[-1, *dims])
            for name, datatype, dims in _outputs(served, backbone)
        ],
        labels=list(served.manifest.labels),
    )


def model_config(served: LoadedVersion, versions: Iterable[int], backbone: Backbone, *, most: int) -> ModelConfig:
    """A task in Triton's words; `most` images go into one request."""
    labels = json.dumps(list(served.manifest.labels), ensure_ascii=False)
    return ModelConfig(
        name=served.task,
        platform=PLATFORM,
        backend=_BACKEND,
        version_policy={"specific": {"versions": sorted(versions)}},
        max_batch_size=most,
        input=[
            _tensor(IMAGE, "TYPE_STRING", [], optional=True),
            _tensor(PIXELS, "TYPE_FP32", [_CHANNELS, *backbone.preprocessing.size], optional=True),
        ],
        output=[_tensor(name, f"TYPE_{datatype}", dims) for name, datatype, dims in _outputs(served, backbone)],
        dynamic_batching={"preferred_batch_size": []},
        parameters={
            "labels": ConfigParameter(string_value=labels),
            "sha256": ConfigParameter(string_value=served.info.sha256),
        },
    )


def _tensor(name: str, datatype: str, dims: list[int], *, optional: bool | None = None) -> ConfigTensor:
    """Triton's words have no tensor without dimensions: one element for each image is [1]."""
    return ConfigTensor(name=name, data_type=datatype, dims=dims or [1], optional=optional)


def _outputs(served: LoadedVersion, backbone: Backbone) -> list[tuple[str, str, list[int]]]:
    """Each output: its name, its datatype, and its dimensions for one image."""
    found = {**outputs_of(served.manifest), FEATURES: ("FP32", backbone.feature_dim)}
    return [(name, datatype, [] if size is None else [size]) for name, (datatype, size) in found.items()]


def statistics(task: str, totals: Mapping[int, VersionTotals]) -> ModelStatistics:
    """The totals of some versions of a task, oldest first."""
    return ModelStatistics(model_stats=[_statistics(task, number, totals[number]) for number in sorted(totals)])


def _statistics(task: str, number: int, totals: VersionTotals) -> VersionStatistics:
    return VersionStatistics(
        name=task,
        version=str(number),
        last_inference=totals.last,
        inference_count=totals.images,
        execution_count=totals.success.count,
        inference_stats=InferenceStatistics(
            success=_duration(totals.success),
            fail=_duration(totals.fail),
            queue=_duration(totals.queue),
            compute_input=_duration(totals.decode),
            compute_infer=_duration(totals.compute),
            compute_output=_duration(totals.encode),
            cache_hit=_NONE,
            cache_miss=_NONE,
        ),
        batch_stats=[],
    )


def _duration(total: Total) -> Duration:
    return Duration(count=total.count, ns=total.ns)


def repository_index(table: Mapping[str, TaskEntry], *, only_ready: bool) -> list[RepositoryModel]:
    """Every version that an alias points at here, and every task without one."""
    found = [each for task, entry in sorted(table.items()) for each in _listed(task, entry)]
    return [each for each in found if each.state == "READY" or not only_ready]


def _listed(task: str, entry: TaskEntry) -> list[RepositoryModel]:
    numbers = sorted({named.info.version for named in entry.aliased() if named.content.reason is None})
    if not numbers:
        return [RepositoryModel(name=task, state="UNAVAILABLE", reason=entry.reason or "no alias points at a version")]
    return [RepositoryModel(name=task, version=str(number), state="READY") for number in numbers]
