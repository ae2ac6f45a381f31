"""The schemas of the protocol: requests, which are validated strictly, and answers.

Source: inference_rest.md, "Server Metadata", "Model Metadata", "Health"; Triton, extension_model_repository.md.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters_store.strict_json import Json
from service.errors import InvalidInference
from service.schemas import may_grow

IMAGE, PIXELS = "image", "pixels"  # the inputs
LOGITS, PROBABILITIES, FEATURES = "logits", "probabilities", "features"  # the outputs of every task
GIVEN, KNOWN, UNKNOWN_SCORE = "given", "known", "unknown_score"  # of tasks whose files say how answers are read

_FOREIGN = ("sequence_id", "sequence_start", "sequence_end", "shared_memory_region")

_Name = Annotated[str, Field(min_length=1, max_length=64)]
Parameters = dict[str, bool | int | float | str]


class Strict(BaseModel):
    """Base of requests: undeclared fields are refused, and no value is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Input(Strict):
    """One input tensor. Its data is here, or behind the JSON if `binary_data_size` is among the parameters."""

    name: _Name
    shape: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, max_length=8)
    datatype: Annotated[str, Field(max_length=16)]
    parameters: Parameters | None = None
    data: list[Any] | None = None


class RequestedOutput(Strict):
    """One output that the client wants."""

    name: _Name
    parameters: Parameters | None = None


class InferenceRequest(Strict):
    """A request for inference. Some clients send `model_name` and `model_version`, but the URL decides."""

    id: Annotated[str, Field(max_length=1024)] | None = None
    model_name: str | None = None
    model_version: str | None = None
    parameters: Parameters | None = None
    inputs: list[Input] = Field(min_length=1, max_length=8)
    outputs: list[RequestedOutput] | None = Field(default=None, max_length=8)


def validated(document: dict[str, Json]) -> InferenceRequest:
    """The request in a JSON object.

    Raises:
        InvalidInference: it has another form, or asks for an extension that this server does not have.
    """
    try:
        request = InferenceRequest.model_validate(document)
    except ValidationError as error:
        where = sorted({_place(item["loc"]) for item in error.errors()})
        raise InvalidInference(f"not an inference request: look at {', '.join(where[:3])}") from None
    for parameters in (request.parameters, *(tensor.parameters for tensor in request.inputs)):
        if any(name in (parameters or {}) for name in _FOREIGN):
            raise InvalidInference("sequences and shared memory are not supported")
    return request


def _place(where: tuple[int | str, ...]) -> str:
    """The place of an error in the request; never a name that the client invented."""
    known = {*InferenceRequest.model_fields, *Input.model_fields}
    named = [str(part) for part in where if isinstance(part, int) or part in known]
    return ".".join(named) or "its keys"


def int_parameter(parameters: Parameters | None, name: str, *, most: int) -> int | None:
    """A parameter that is a number from 0 to `most`; None if it is not given.

    Raises:
        InvalidInference: it is something else.
    """
    value = (parameters or {}).get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise InvalidInference(f"the parameter {name} must be a whole number from 0 to {most}")
    return value


def share_parameter(parameters: Parameters | None, name: str) -> float | None:
    """A parameter that is a number from 0 to 1; None if it is not given.

    Raises:
        InvalidInference: it is something else.
    """
    value = (parameters or {}).get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise InvalidInference(f"the parameter {name} must be a number from 0 to 1")
    return float(value)


def bool_parameter(parameters: Parameters | None, name: str) -> bool | None:
    """A parameter that is true or false; None if it is not given.

    Raises:
        InvalidInference: it is something else.
    """
    value = (parameters or {}).get(name)
    if value is None or isinstance(value, bool):
        return value
    raise InvalidInference(f"the parameter {name} must be true or false")


class V2Answer(BaseModel):
    """Base of every body of the protocol."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), json_schema_extra=may_grow)


class IndexRequest(Strict):
    """The models to list."""

    ready: bool = False


class LoadRequest(Strict):
    """The body of load and unload; it has no options."""

    parameters: Annotated[Parameters | None, Field(max_length=8)] = None


class InferenceError(V2Answer):
    """The error text."""

    error: str


class ServerLive(V2Answer):
    """Whether the process lives."""

    live: bool


class ServerReady(V2Answer):
    """Whether the server is ready; the specification names the member `live`, and clients read either."""

    live: bool
    ready: bool


class ServerMetadata(V2Answer):
    """The name, version and extensions of this server."""

    name: str
    version: str
    extensions: list[str]
    parameters: dict[str, str] = Field(description="precision: what the backbone's products are computed in now")


class TensorMetadata(V2Answer):
    """A tensor that a model takes or gives; -1 stands for any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(V2Answer):
    """A task as a model."""

    name: str
    versions: list[str] = Field(description="all published, oldest first")
    platform: str
    inputs: list[TensorMetadata] = Field(description="a request has one of them")
    outputs: list[TensorMetadata]
    labels: list[str] = Field(description="of the classes, in the order of the outputs' elements")


class ConfigTensor(V2Answer):
    """An input or an output in Triton's words; without the dimension of the batch."""

    name: str
    data_type: str
    dims: list[int]
    optional: bool | None = Field(default=None, description="of inputs: a request has one of several")


class ConfigParameter(V2Answer):
    """A value that Triton's configuration has no other place for."""

    string_value: str


class ModelConfig(V2Answer):
    """How a task is served, in the words of Triton's model configuration."""

    name: str
    platform: str
    backend: str
    version_policy: dict[str, dict[str, list[int]]]
    max_batch_size: int = Field(description="most images of one request")
    input: list[ConfigTensor]
    output: list[ConfigTensor]
    dynamic_batching: dict[str, list[int]] = Field(description="requests of all tasks share batches")
    parameters: dict[str, ConfigParameter] = Field(description="sha256, and the labels as a JSON list")


class Duration(V2Answer):
    """Requests, and the nanoseconds that they took together."""

    count: int
    ns: int


class InferenceStatistics(V2Answer):
    """Where the time of a version's requests went."""

    success: Duration = Field(description="from the first byte of a request to its answer")
    fail: Duration
    queue: Duration
    compute_input: Duration = Field(description="decoding and preparing images")
    compute_infer: Duration = Field(description="the forward pass of the whole batch")
    compute_output: Duration = Field(description="building the answer")
    cache_hit: Duration = Field(description="there is no cache of answers: always 0")
    cache_miss: Duration = Field(description="as cache_hit")


class VersionStatistics(V2Answer):
    """Totals of one version since the server began."""

    name: str
    version: str
    last_inference: int = Field(description="milliseconds since the epoch; 0: none yet")
    inference_count: int = Field(description="images that were answered")
    execution_count: int = Field(description="requests that were answered; a batch may have several, of any tasks")
    inference_stats: InferenceStatistics
    batch_stats: list[dict[str, int]] = Field(description="batches mix tasks: see /metrics; always empty")


class ModelStatistics(V2Answer):
    """Totals of the versions of a task: those that are live, and those that were asked."""

    model_stats: list[VersionStatistics]


class ModelReady(V2Answer):
    """Whether a model answers here."""

    name: str
    ready: bool


class OutputTensor(V2Answer):
    """One output. Its data is behind the JSON if `binary_data_size` is among the parameters."""

    name: str
    datatype: Literal["FP32", "BYTES", "BOOL"]
    shape: list[int]
    parameters: dict[str, int] | None = None
    data: list[bool | float | str] | None = None


class InferenceResponse(V2Answer):
    """The outputs of a model."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, str | float] = Field(description="sha256, times in ms, GFLOPs spent, saved and shared")
    outputs: list[OutputTensor]


class RepositoryModel(V2Answer):
    """A version of a task in the index, or a task of which no version can be served."""

    name: str
    version: str | None = None
    state: Literal["READY", "UNAVAILABLE"]
    reason: str = ""
