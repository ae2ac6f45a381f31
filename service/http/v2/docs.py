"""The OpenAPI document's description of the bodies of the Open Inference Protocol, with examples."""

from typing import Any

from pydantic import BaseModel

from service.http.v2.bodies import HEADER
from service.oip.schemas import InferenceError, InferenceRequest

Document = dict[str, Any]

# a PNG of 8 x 8 pixels
_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR4nGM8wQABTAwUMQA6AADYhMgK6QAAAABJRU5ErkJggg=="
_INPUT = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [_DOT]}
_BEST = {"name": "probabilities", "parameters": {"classification": 2}}


def _schema(shape: type[BaseModel]) -> Document:
    return shape.model_json_schema(ref_template="#/components/schemas/{model}")


INFER_BODY: Document = {
    "required": True,
    "content": {
        "application/json": {
            "schema": _schema(InferenceRequest),
            "examples": {
                "an encoded image": {"value": {"id": "42", "inputs": [_INPUT], "outputs": [{"name": "logits"}]}},
                "the best two labels": {"value": {"inputs": [_INPUT], "outputs": [_BEST]}},
                "none of these?": {"value": {"inputs": [_INPUT], "outputs": [_BEST, {"name": "known"}]}},
                "quickly": {"value": {"inputs": [_INPUT], "parameters": {"timeout": 500_000, "priority": 1}}},
            },
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}

_RESPONSE: Document = {
    "model_name": "digits",
    "model_version": "1",
    "id": "42",
    "parameters": {"sha256": "88f0" * 16, "gflops_spent": 0.1822, "compute_ms": 9.2},
    "outputs": [
        {"name": "probabilities", "datatype": "BYTES", "shape": [1, 1], "data": ["0.960000:3:3"]},
        {"name": "known", "datatype": "BOOL", "shape": [1], "data": [True]},
    ],
}
INFERRED: Document = {
    "description": "The outputs, in the order asked for",
    "headers": {HEADER: {"description": "bytes of JSON before binary tensors", "schema": {"type": "integer"}}},
    "content": {
        "application/json": {"example": _RESPONSE},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}
_FP32 = {"datatype": "FP32", "shape": [-1, 10]}
_EXAMPLES: Document = {
    "live": {"live": True},
    "ready": {"live": True, "ready": True},
    "not ready": {"live": True, "ready": False},
    "model ready": {"name": "digits", "ready": True},
    "model not ready": {"name": "digits", "ready": False},
    "server": {
        "name": "mimi-serving",
        "version": "0.1.0",
        "extensions": ["binary_tensor_data"],
        "parameters": {"precision": "bf16"},
    },
    "model": {
        "name": "digits",
        "versions": ["1", "2"],
        "platform": "mimi_safetensors",
        "inputs": [
            {"name": "image", "datatype": "BYTES", "shape": [-1, 1]},
            {"name": "pixels", "datatype": "FP32", "shape": [-1, 3, 64, 64]},
        ],
        "outputs": [
            {"name": "logits", **_FP32},
            {"name": "probabilities", **_FP32},
            {"name": "given", "datatype": "BOOL", "shape": [-1, 10]},
            {"name": "known", "datatype": "BOOL", "shape": [-1]},
            {"name": "unknown_score", "datatype": "FP32", "shape": [-1]},
        ],
        "labels": [str(digit) for digit in range(10)],
    },
    "config": {
        "name": "digits",
        "platform": "mimi_safetensors",
        "backend": "mimi",
        "version_policy": {"specific": {"versions": [1, 2]}},
        "max_batch_size": 16,
        "input": [
            {"name": "image", "data_type": "TYPE_STRING", "dims": [1], "optional": True},
            {"name": "pixels", "data_type": "TYPE_FP32", "dims": [3, 64, 64], "optional": True},
        ],
        "output": [{"name": "logits", "data_type": "TYPE_FP32", "dims": [10]}],
        "dynamic_batching": {"preferred_batch_size": []},
        "parameters": {"labels": {"string_value": '["0", "1", "2"]'}, "sha256": {"string_value": "88f0" * 16}},
    },
    "stats": {
        "model_stats": [
            {
                "name": "digits",
                "version": "2",
                "last_inference": 1772366400000,
                "inference_count": 12,
                "execution_count": 3,
                "inference_stats": {
                    "success": {"count": 3, "ns": 31_000_000},
                    "fail": {"count": 0, "ns": 0},
                    "queue": {"count": 3, "ns": 300_000},
                    "compute_input": {"count": 3, "ns": 2_400_000},
                    "compute_infer": {"count": 3, "ns": 27_600_000},
                    "compute_output": {"count": 3, "ns": 600_000},
                    "cache_hit": {"count": 0, "ns": 0},
                    "cache_miss": {"count": 0, "ns": 0},
                },
                "batch_stats": [],
            }
        ]
    },
    "index": [
        {"name": "digits", "version": "2", "state": "READY", "reason": ""},
        {"name": "pets", "state": "UNAVAILABLE", "reason": "unloaded on this server"},
    ],
}


def example(name: str) -> Document:
    """An answer, for FastAPI's `responses`."""
    return {"content": {"application/json": {"example": _EXAMPLES[name]}}}


def body(shape: type[BaseModel], value: Document) -> Document:
    """A small JSON body that may be left out."""
    return {"required": False, "content": {"application/json": {"schema": _schema(shape), "example": value}}}


def components() -> Document:
    """Schemas that errors refer to."""
    return {"InferenceError": InferenceError.model_json_schema()}
