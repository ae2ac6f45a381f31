"""What the OpenAPI document says about the bodies and answers of predictions, with examples."""

from typing import Any

from pydantic import BaseModel

from service.schemas import MAX_TASKS, TASK_PATTERN, FanoutJson, PredictJson

Document = dict[str, Any]

_BINARY: Document = {"type": "string", "format": "binary"}
_OPTIONS: Document = {
    "images": {"type": "array", "items": _BINARY, "minItems": 1},
    "top_k": {"type": "integer", "minimum": 1, "maximum": 10_000},
    "output": {"enum": ["probabilities", "logits", "features"]},
}
_TASKS: Document = {"type": "array", "items": {"type": "string", "pattern": TASK_PATTERN}, "maxItems": MAX_TASKS}
# a PNG of 8 x 8 pixels
_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR4nGM8wQABTAwUMQA6AADYhMgK6QAAAABJRU5ErkJggg=="


def _body(shape: type[BaseModel], fields: Document, examples: Document) -> Document:
    raw = ("image/jpeg", "image/png", "image/webp", "application/octet-stream")
    form = {"type": "object", "additionalProperties": False, "properties": fields, "required": ["images"]}
    return {
        "required": True,
        "content": {
            **{kind: {"schema": _BINARY} for kind in raw},
            "multipart/form-data": {"schema": form},
            "application/json": {"schema": shape.model_json_schema(), "examples": examples},
        },
    }


PREDICT_BODY = _body(
    PredictJson,
    _OPTIONS,
    {
        "the best two": {"value": {"images": [_DOT], "top_k": 2}},
        "logits": {"value": {"images": [f"data:image/png;base64,{_DOT}"], "output": "logits"}},
    },
)
FANOUT_BODY = _body(
    FanoutJson,
    {**_OPTIONS, "tasks": _TASKS},
    {
        "two tasks": {"value": {"images": [_DOT], "tasks": ["digits", "digits-parity"]}},
        "every task": {"value": {"images": [_DOT], "tasks": "all", "top_k": 1}},
    },
)

_RESULT: Document = {
    "predictions": [{"label": "3", "index": 3, "probability": 0.96}],
    "gflops_spent": 0.1022,
    "gflops_saved": 0.0066,
    "gflops_shared": 0.08,
    "trunk_share": 0.439,
}
_TASK: Document = {"task": "digits", "version": 1, "sha256": "88f0" * 16, "results": [_RESULT]}
_TIMINGS: Document = {"timings": {"decode_ms": 0.8, "queue_ms": 0.1, "compute_ms": 9.2}}


def _answer(value: Document) -> Document:
    return {
        "description": "The answers, in the order of the images",
        "content": {"application/json": {"example": value}},
    }


ANSWERED = _answer({**_TASK, **_TIMINGS})
FANNED_OUT = _answer({"answers": [_TASK, {**_TASK, "task": "digits-parity"}], **_TIMINGS})
