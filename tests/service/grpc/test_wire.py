"""Fields are counted before a parser makes objects of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from service.errors import InvalidInference
from service.grpc.messages import InferMessage, parsed_message
from service.grpc.wire import MOST_FIELDS, check_fields
from service.oip.requests import InputLimits

KIND = pb.ModelInferRequest
FRAME = InputLimits(images=3, size=(4, 5))


def test_a_message_with_every_kind_of_field_is_counted_and_passes() -> None:
    message = KIND(model_name="cats", id="x", raw_input_contents=[b"\0" * 1000])
    message.parameters["priority"].int64_param = 1
    message.parameters["double"].double_param = 1.5
    tensor = message.inputs.add(name="image", datatype="FP32", shape=[1, 2, 3])
    tensor.contents.fp32_contents.extend([0.5] * 100_000)  # packed: one field
    check_fields(message.SerializeToString(), KIND.DESCRIPTOR)


@pytest.mark.parametrize(
    "message",
    [
        b"\x2a\x00" * (MOST_FIELDS + 1),  # inputs
        b"\x2a\x04" + b"\x22\x02\x0a\x00" + b"\x2a\x00" * MOST_FIELDS,  # the same, deeper and wider
        b"\x08",
        b"\x0a\x05abc",
        b"\xff" * 11,
        b"\x0b\x0c",  # a group
        b"\x0d\x00",
    ],
)
def test_too_many_fields_and_broken_ones_are_refused(message: bytes) -> None:
    with pytest.raises(InvalidInference):
        check_fields(message, KIND.DESCRIPTOR)


def test_unpacked_numbers_count_one_by_one() -> None:
    contents = b"\x35\x00\x00\x00\x00" * 5000
    tensor = b"\x2a" + bytes([len(contents) & 0x7F | 0x80, len(contents) >> 7 & 0x7F | 0x80, len(contents) >> 14])
    tensor += contents
    size = len(tensor)
    message = b"\x2a" + bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14]) + tensor
    assert len(KIND.FromString(message).inputs[0].contents.fp32_contents) == 5000
    with pytest.raises(InvalidInference, match="packed"):
        check_fields(message, KIND.DESCRIPTOR)


@given(st.binary(max_size=200))
def test_any_bytes_are_understood_or_refused(data: bytes) -> None:
    try:
        found = InferMessage.parse(data)
        found.request(FRAME)
    except InvalidInference:
        return
    assert parsed_message(data, KIND).inputs


@given(st.lists(st.binary(max_size=8), max_size=5), st.lists(st.integers(-1, 5), max_size=5), st.booleans())
def test_any_request_is_understood_or_refused(elements: list[bytes], shape: list[int], raw: bool) -> None:
    message = KIND(model_name="cats")
    tensor = message.inputs.add(name="image", datatype="BYTES", shape=shape)
    if raw:
        message.raw_input_contents.extend(elements)
    else:
        tensor.contents.bytes_contents.extend(elements)
    try:
        found = InferMessage.parse(message.SerializeToString()).request(FRAME)
    except InvalidInference:
        return
    assert 1 <= len(found.images) <= FRAME.images
