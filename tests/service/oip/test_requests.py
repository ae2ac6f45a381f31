"""From requests of the protocol to images, outputs and patience; whatever else comes is refused with a reason."""

import base64
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInference
from service.http.v2.bodies import SplitBody, parse_body
from service.oip.requests import OUTPUTS, InputLimits, OutputSpec, ParsedRequest

FRAME = InputLimits(images=3, size=(4, 5))
ENCODED = base64.b64encode(b"image").decode()
IMAGE = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [ENCODED]}


def parsed(document: dict[str, Any], binary: bytes = b"") -> ParsedRequest:
    return parse_body(SplitBody(document, memoryview(binary)), FRAME)


def binary_input(name: str, datatype: str, shape: list[int], size: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


def test_encoded_images_come_as_base64_or_as_bytes() -> None:
    assert parsed({"inputs": [IMAGE]}).images == [b"image"]
    tensor = binary_input("image", "BYTES", [2, 1], 14)
    assert parsed({"inputs": [tensor]}, b"\5\0\0\0image\1\0\0\0x").images == [b"image", b"x"]


def test_decoded_images_may_have_any_size() -> None:
    array = np.arange(2 * 7 * 9 * 3, dtype=np.uint8).reshape(2, 7, 9, 3)
    tensor = binary_input("image", "UINT8", [2, 7, 9, 3], array.nbytes)
    assert np.array_equal(np.stack(parsed({"inputs": [tensor]}, array.tobytes()).images), array)


def test_normalised_images_have_the_size_of_the_backbone() -> None:
    array = np.linspace(-1, 1, 60, dtype=np.float32).reshape(1, 3, 4, 5)
    tensor = {"name": "pixels", "datatype": "FP32", "shape": [1, 3, 4, 5], "data": array.tolist()}
    (found,) = parsed({"inputs": [tensor]}).images
    assert np.array_equal(found, array[0])


def test_a_body_without_json_is_one_encoded_image_with_binary_answers() -> None:
    found = parse_body(SplitBody(None, memoryview(b"image")), FRAME)
    assert found.images == [b"image"]
    assert found.outputs == [OutputSpec(name, binary=True) for name in OUTPUTS]


def test_outputs_are_all_unless_some_are_named() -> None:
    assert parsed({"inputs": [IMAGE]}).outputs == [OutputSpec(name, False) for name in OUTPUTS]
    found = parsed(
        {
            "inputs": [IMAGE],
            "outputs": [
                {"name": "features", "parameters": {"binary_data": False}},
                {"name": "logits", "parameters": {"classification": 2}},
                {"name": "probabilities", "parameters": {"classification": 0}},
            ],
            "parameters": {"binary_data_output": True},
        }
    )
    assert found.outputs == [
        OutputSpec("features", False),
        OutputSpec("logits", True, 2),
        OutputSpec("probabilities", True),
    ]


@pytest.mark.parametrize(
    ("parameters", "seconds", "priority"),
    [
        (None, None, 5),
        ({}, None, 5),
        ({"timeout": 0, "priority": 0}, None, 5),
        ({"timeout": 1_500_000, "priority": 1}, 1.5, 1),
        ({"timeout": 1, "priority": 99}, 1e-6, 9),
        ({"content_type": "base64", "anything": 1.5}, None, 5),
    ],
)
def test_patience_is_in_microseconds_and_the_highest_priority_is_one(
    parameters: dict[str, Any] | None, seconds: float | None, priority: int
) -> None:
    found = parsed({"inputs": [IMAGE], "parameters": parameters, "id": "7", "model_name": "x"})
    assert (found.seconds, found.priority, found.id) == (seconds, priority, "7")


def changed(**changes: object) -> dict[str, Any]:
    return {"inputs": [{**IMAGE, **changes}]}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"inputs": []},
        {"inputs": IMAGE},
        {"inputs": [IMAGE, IMAGE]},
        {"inputs": [IMAGE], "input": 1},
        {"inputs": [IMAGE], "id": 7},
        {"inputs": [IMAGE], "id": "x" * 1025},
        {"inputs": [IMAGE], "parameters": {"timeout": -1}},
        {"inputs": [IMAGE], "parameters": {"timeout": 1.5}},
        {"inputs": [IMAGE], "parameters": {"timeout": 2**63}},
        {"inputs": [IMAGE], "parameters": {"priority": True}},
        {"inputs": [IMAGE], "parameters": {"binary_data_output": 1}},
        {"inputs": [IMAGE], "parameters": {"sequence_id": 1}},
        {"inputs": [IMAGE], "parameters": {"timeout": [1]}},
        {"inputs": [IMAGE], "outputs": [{"name": "softmax"}]},
        {"inputs": [IMAGE], "outputs": [{"name": "logits"}] * 2},
        {"inputs": [IMAGE], "outputs": [{"name": "logits", "parameters": {"classification": -1}}]},
        {"inputs": [IMAGE], "outputs": [{"name": "logits", "parameters": {"binary_data": "yes"}}]},
        changed(name="picture"),
        changed(datatype="FP32"),
        changed(datatype="UINT8"),
        changed(name="pixels"),
        changed(shape=[]),
        changed(shape=[0], data=[]),
        changed(shape=[-1]),
        changed(shape=[True]),
        changed(shape=[1, 2]),
        changed(shape=[2]),
        changed(shape=[4], data=[ENCODED] * 4),
        changed(data=["no base64!"]),
        changed(data=[7]),
        changed(data=None),
        changed(parameters={"binary_data_size": 5}),
        changed(data=None, parameters={"binary_data_size": 5}),
        changed(parameters={"shared_memory_region": "x"}),
        changed(datatype="UINT8", shape=[1, 0, 10**19, 3], data=[]),
        changed(name="pixels", datatype="FP32", shape=[1, 3, 5, 4], data=[0] * 60),
        changed(name="pixels", datatype="FP32", shape=[1, 3, 4, 5], data=[1e300] * 60),
    ],
)
def test_what_is_no_request_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(InvalidInference):
        parsed(document)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_normalised_images_are_finite(bad: float) -> None:
    array = np.zeros((1, 3, 4, 5), np.float32)
    array[0, 1, 2, 3] = bad
    with pytest.raises(InvalidInference, match="finite"):
        parsed({"inputs": [binary_input("pixels", "FP32", [1, 3, 4, 5], 240)]}, array.tobytes())


def test_bytes_that_nobody_asked_for_are_refused() -> None:
    with pytest.raises(InvalidInference):
        parsed({"inputs": [IMAGE]}, b"more")


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just(ENCODED)
NAMES = st.sampled_from(["name", "datatype", "shape", "data", "parameters", "inputs", "outputs", "id", "timeout"])
ANYTHING = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4))
TENSORS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["image", "pixels"]) | ANYTHING,
        "datatype": st.sampled_from(["BYTES", "UINT8", "FP32"]) | ANYTHING,
        "shape": st.lists(st.integers(0, 5), max_size=5) | ANYTHING,
    },
    optional={"data": ANYTHING, "parameters": st.dictionaries(st.just("binary_data_size"), st.integers(-1, 99))},
)


@given(
    st.fixed_dictionaries({"inputs": st.lists(TENSORS, max_size=2)}, optional={"outputs": ANYTHING, "id": ANYTHING}),
    st.binary(max_size=60),
)
def test_any_request_is_understood_or_refused(document: dict[str, Any], binary: bytes) -> None:
    try:
        found = parsed(document, binary)
    except InvalidInference:
        return
    assert 1 <= len(found.images) <= FRAME.images
