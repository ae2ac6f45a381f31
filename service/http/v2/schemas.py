"""The shapes of the protocol's answers, for the OpenAPI document; no behaviour.

Source: inference_rest.md, "Server Metadata", "Model Metadata", "Health"; Triton, extension_model_repository.md.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class V2Answer(BaseModel):
    """Base of every body of the protocol."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class InferenceError(V2Answer):
    """What went wrong."""

    error: str


class ServerLive(V2Answer):
    """Whether the process lives."""

    live: bool


class ServerReady(V2Answer):
    """Whether work is taken; the specification names the member `live`, clients look for either."""

    live: bool
    ready: bool


class ServerMetadata(V2Answer):
    """What this server is, and the extensions that it has."""

    name: str
    version: str
    extensions: list[str]


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
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelReady(V2Answer):
    """Whether a model answers here."""

    name: str
    ready: bool


class OutputTensor(V2Answer):
    """One output; its data lies behind the JSON where `binary_data_size` is among the parameters."""

    name: str
    datatype: Literal["FP32", "BYTES"]
    shape: list[int]
    parameters: dict[str, int] | None = None
    data: list[float | str] | None = None


class InferenceResponse(V2Answer):
    """What a model says about images."""

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
