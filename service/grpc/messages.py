"""Protobuf messages to requests of the protocol, and its answers to messages.

A tensor's data comes as raw bytes (`raw_input_contents`) or typed (`contents`); both become the raw bytes that the
protocol's parser reads. Output tensors go out as raw bytes.

Source: kserve/open-inference-protocol, inference_grpc.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message
from tritonclient.grpc import service_pb2 as pb

from service.errors import InvalidInference
from service.grpc.wire import check_fields
from service.oip import outputs as answers
from service.oip.inference import Inference
from service.oip.requests import InputLimits, ParsedRequest, parse_request
from service.oip.schemas import ModelMetadata, Parameters, RepositoryModel, ServerMetadata, validated
from service.oip.tensors import bytes_of_strings
from service.tasks.targets import Target

M = TypeVar("M", bound=Message)

_MOST_PARAMETERS = 64
_MOST_DIGITS = 18
_BYTE = 255
_ENOUGH = 16  # of what the protocol's parser bounds itself: outputs, and dimensions of a shape


def parsed_message(message: bytes, kind: type[M]) -> M:
    """A message from its bytes.

    Raises:
        InvalidInference: the bytes are none of this kind.
    """
    check_fields(message, kind.DESCRIPTOR)
    try:
        found: M = kind.FromString(message)
        return found
    except DecodeError:
        raise InvalidInference("these are not the bytes of such a message") from None


@dataclass(frozen=True, slots=True, eq=False)
class InferMessage:
    """A message that asks for inference. Its fields are read where `request` is called: in a thread."""

    message: Any  # a ModelInferRequest

    @classmethod
    def parse(cls, message: bytes) -> "InferMessage":
        """From bytes; raises as `parsed_message`."""
        return cls(parsed_message(message, pb.ModelInferRequest))

    @property
    def target(self) -> Target:
        """Whom it asks."""
        return target_of(self.message.model_name, self.message.model_version)

    def request(self, limits: InputLimits) -> ParsedRequest:
        """The request in the protocol's terms.

        Raises:
            InvalidInference: this server cannot answer it; the message says why.
        """
        message = self.message
        if len(message.inputs) != 1:
            raise InvalidInference("send one input: image, or pixels")
        tensor = message.inputs[0]
        data = _data(message, tensor, limits)
        document: dict[str, Any] = {
            "id": message.id or None,
            "parameters": _parameters(message.parameters),
            "inputs": [
                {
                    "name": tensor.name,
                    "datatype": tensor.datatype,
                    "shape": list(islice(tensor.shape, _ENOUGH)),
                    "parameters": {**_parameters(tensor.parameters), "binary_data_size": len(data)},
                }
            ],
            "outputs": [
                {"name": output.name, "parameters": _parameters(output.parameters)}
                for output in islice(message.outputs, _ENOUGH)
            ]
            or None,
        }
        return parse_request(validated(document), memoryview(data), limits)


def target_of(model_name: str, model_version: str) -> Target:
    """A task by its live version, or by the version that is named.

    Raises:
        InvalidInference: the version is no number.
    """
    if not model_version:
        return Target(model_name)
    if not (model_version.isascii() and model_version.isdigit() and len(model_version) <= _MOST_DIGITS):
        raise InvalidInference("model_version must be a number, or empty")
    return Target(model_name, version=int(model_version))


def _data(message: Any, tensor: Any, limits: InputLimits) -> bytes:  # noqa: ANN401
    """The raw bytes of the one input."""
    if message.raw_input_contents:
        if len(message.raw_input_contents) != 1 or tensor.HasField("contents"):
            raise InvalidInference("an input's data comes once: in raw_input_contents, or in contents")
        raw: bytes = message.raw_input_contents[0]
        return raw
    contents = tensor.contents
    if tensor.datatype == "BYTES":
        if len(contents.bytes_contents) > limits.images:
            raise InvalidInference(f"send 1 to {limits.images} images in one request")
        return bytes_of_strings(contents.bytes_contents)
    if tensor.datatype == "UINT8":
        numbers = np.array(contents.uint_contents, np.uint32)
        if numbers.size and numbers.max() > _BYTE:
            raise InvalidInference("UINT8 data must be whole numbers from 0 to 255")
        return numbers.astype(np.uint8).tobytes()
    return np.array(contents.fp32_contents, "<f4").tobytes()


def _parameters(given: Mapping[str, Any]) -> Parameters:
    if len(given) > _MOST_PARAMETERS:
        raise InvalidInference(f"at most {_MOST_PARAMETERS} parameters")
    found: Parameters = {}
    for name, value in given.items():
        choice = value.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidInference("a parameter has no value")
        found[name] = getattr(value, choice)
    return found


def infer_response(found: Inference) -> bytes:
    """The answer to a request for inference."""
    (task,) = found.outputs.tasks
    tensors = answers.tensors(found.outputs, found.parsed)
    message = pb.ModelInferResponse(
        model_name=task.served.task,
        model_version=str(task.served.info.version),
        id=found.parsed.id or "",
        raw_output_contents=[tensor.data for _, tensor in tensors],
    )
    for spec, tensor in tensors:
        message.outputs.add(name=spec.name, datatype=tensor.datatype, shape=tensor.shape)
    for name, value in answers.parameters(found.outputs).items():
        if isinstance(value, str):
            message.parameters[name].string_param = value
        else:
            message.parameters[name].double_param = value
    return _bytes(message)


def server_metadata(found: ServerMetadata) -> bytes:
    """This server."""
    return _bytes(pb.ServerMetadataResponse(name=found.name, version=found.version, extensions=found.extensions))


def model_metadata(found: ModelMetadata) -> bytes:
    """A task as a model."""
    tensor = pb.ModelMetadataResponse.TensorMetadata
    return _bytes(
        pb.ModelMetadataResponse(
            name=found.name,
            versions=found.versions,
            platform=found.platform,
            inputs=[tensor(**each.model_dump()) for each in found.inputs],
            outputs=[tensor(**each.model_dump()) for each in found.outputs],
        )
    )


def repository_index(found: Iterable[RepositoryModel]) -> bytes:
    """The models of the repository."""
    kind = pb.RepositoryIndexResponse.ModelIndex
    models = [kind(name=each.name, version=each.version or "", state=each.state, reason=each.reason) for each in found]
    return _bytes(pb.RepositoryIndexResponse(models=models))


def nothing(kind: type[Message]) -> bytes:
    """A message that says no more than that it was done."""
    return _bytes(kind())


def flag(kind: type[Message], **value: bool) -> bytes:
    """A message with one truth value, such as `ready`."""
    return _bytes(kind(**value))


def _bytes(message: Message) -> bytes:
    found: bytes = message.SerializeToString()
    return found
