"""Parses an inference request: its images, the outputs it wants, its timeout and its priority.

The data of its input stands in the request itself, or lies beside it as raw bytes: behind the JSON of a body (binary
tensor data extension), or in the `raw_input_contents` of a message.

The input `image` is BYTES [N] (or [N, 1]) of encoded images, or UINT8 [N, H, W, 3] of decoded ones. The input `pixels`
is FP32 [N, 3, H, W], already normalised, of exactly the size that the backbone reads.

Source: inference_rest.md, "Inference Request JSON Object"; Triton, docs/protocol/extension_binary_data.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.engine import DEFAULT_PRIORITY, LOWEST_PRIORITY
from service.errors import InvalidInference
from service.inputs.decoding import Picture
from service.oip import tensors
from service.oip.schemas import (
    FEATURES,
    GIVEN,
    IMAGE,
    KNOWN,
    LOGITS,
    PIXELS,
    PROBABILITIES,
    UNKNOWN_SCORE,
    InferenceRequest,
    Input,
    RequestedOutput,
    bool_parameter,
    int_parameter,
    share_parameter,
)

OUTPUTS = (LOGITS, PROBABILITIES, FEATURES)
_ALL_OUTPUTS = (*OUTPUTS, GIVEN, KNOWN, UNKNOWN_SCORE)
_NOT_RANKED = (GIVEN, KNOWN, UNKNOWN_SCORE)
_MICRO = 1e-6
_LARGEST = 2**63 - 1
_MOST_CLASSES = 10_000
_CHANNELS = 3


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output: as binary data or not; with `classification`, its largest values instead of the tensor."""

    name: str
    binary: bool
    classification: int | None = None


@dataclass(frozen=True, slots=True)
class Others:
    """How outputs come that the client did not name: as binary data or not."""

    binary: bool


@dataclass(frozen=True, slots=True, eq=False)
class ParsedRequest:
    """A validated request.

    Attributes:
        images: in their order.
        outputs: those that the client wants.
        id: the client's name for the request; the answer repeats it.
        seconds: its timeout; None: the server's.
        priority: as of `Batcher.submit`.
        threshold: for all labels, in the place of those in the task's file.
        others: how to answer with the outputs that only some tasks have; None if the client names its outputs.
    """

    images: Sequence[Picture]
    outputs: Sequence[OutputSpec]
    id: str | None = None
    seconds: float | None = None
    priority: int = DEFAULT_PRIORITY
    threshold: float | None = None
    others: Others | None = None


@dataclass(frozen=True, slots=True)
class InputLimits:
    """Limits of the images of a request: their number, and the (height, width) that the backbone reads."""

    images: int
    size: tuple[int, int]


def lone_image(data: bytes) -> ParsedRequest:
    """The request of a body that is a single encoded image: all outputs, as binary data."""
    return ParsedRequest([data], [OutputSpec(name, binary=True) for name in OUTPUTS], others=Others(binary=True))


def parse_request(request: InferenceRequest, binary: memoryview, limits: InputLimits) -> ParsedRequest:
    """Parse a request; `binary` holds the data of its input where `binary_data_size` says so.

    Raises:
        InvalidInference: this server cannot answer it; the message says why.
    """
    parameters = request.parameters
    timeout = int_parameter(parameters, "timeout", most=_LARGEST)
    priority = int_parameter(parameters, "priority", most=_LARGEST)
    return ParsedRequest(
        images=_images(request, binary, limits),
        outputs=_outputs(request),
        id=request.id,
        seconds=timeout * _MICRO if timeout else None,
        priority=min(priority, LOWEST_PRIORITY) if priority else DEFAULT_PRIORITY,
        threshold=share_parameter(parameters, "threshold"),
        others=None if request.outputs else Others(_all_binary(request)),
    )


def _images(request: InferenceRequest, binary: memoryview, limits: InputLimits) -> list[Picture]:
    if len(request.inputs) > 1:
        raise InvalidInference(f"send one input: {IMAGE}, or {PIXELS}")
    (tensor,) = request.inputs
    data = _binary(tensor, binary)
    _check_shape(tensor, limits)
    if tensor.datatype == "BYTES":
        return list(_strings(tensor, data))
    array = _numbers(tensor, data)
    if not np.isfinite(array).all():
        raise InvalidInference("FP32 data must be finite")
    return list(array)


def _binary(tensor: Input, binary: memoryview) -> memoryview | None:
    """The bytes behind the JSON that belong to the input; None if its data is in the JSON."""
    size = int_parameter(tensor.parameters, "binary_data_size", most=_LARGEST)
    if (size is None) == (tensor.data is None):
        raise InvalidInference("an input has either data or binary_data_size")
    if (size or 0) != len(binary):
        raise InvalidInference("binary_data_size is not the number of bytes that came for the input")
    return None if size is None else binary


def _check_shape(tensor: Input, limits: InputLimits) -> None:
    shape, size = tensor.shape, limits.size
    expected = {
        (IMAGE, "BYTES"): len(shape) == 1 or shape[1:] == [1],
        (IMAGE, "UINT8"): len(shape) == 1 + _CHANNELS and shape[-1] == _CHANNELS,
        (PIXELS, "FP32"): shape[1:] == [_CHANNELS, *size],
    }.get((tensor.name, tensor.datatype))
    if not expected:
        ready = f"FP32 [-1, {_CHANNELS}, {size[0]}, {size[1]}]"
        raise InvalidInference(f"inputs are {IMAGE}, BYTES [-1] or UINT8 [-1, H, W, 3], and {PIXELS}, {ready}")
    if min(shape) < 1:
        raise InvalidInference("a dimension of 0 holds no image")
    if not 1 <= shape[0] <= limits.images:
        raise InvalidInference(f"send 1 to {limits.images} images in one request")


def _strings(tensor: Input, data: memoryview | None) -> list[bytes]:
    if data is not None:
        return tensors.strings_of_bytes(data, tensor.shape)
    return tensors.strings_of_json(tensor.data or [], tensor.shape)


def _numbers(tensor: Input, data: memoryview | None) -> np.ndarray:
    if data is not None:
        return tensors.numbers_of_bytes(data, tensor.shape, tensor.datatype)
    return tensors.numbers_of_json(tensor.data or [], tensor.shape, tensor.datatype)


def _outputs(request: InferenceRequest) -> list[OutputSpec]:
    binary = _all_binary(request)
    if not request.outputs:
        return [OutputSpec(name, binary) for name in OUTPUTS]
    if len({output.name for output in request.outputs}) != len(request.outputs):
        raise InvalidInference("an output is asked for twice")
    return [_output_spec(output, binary) for output in request.outputs]


def _all_binary(request: InferenceRequest) -> bool:
    return bool_parameter(request.parameters, "binary_data_output") or False


def _output_spec(output: RequestedOutput, binary: bool) -> OutputSpec:
    if output.name not in _ALL_OUTPUTS:
        raise InvalidInference(f"outputs are {', '.join(_ALL_OUTPUTS)}")
    own = bool_parameter(output.parameters, "binary_data")
    count = int_parameter(output.parameters, "classification", most=_MOST_CLASSES)
    if count and output.name in _NOT_RANKED:
        raise InvalidInference(f"the output {output.name} has no best classes")
    return OutputSpec(output.name, binary if own is None else own, count or None)
