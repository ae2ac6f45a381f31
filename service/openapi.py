"""What the OpenAPI document says beyond the routes' signatures: request bodies, errors, and the version.

FastAPI documents errors as plain JSON; here they become what is really sent.
"""

from collections.abc import Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from service.problems import MEDIA_TYPE
from service.schemas import PredictJson, Problem

Document = dict[str, Any]

_BINARY: Document = {"type": "string", "format": "binary"}
_TOP_K: Document = {"type": "integer", "minimum": 1, "maximum": 10_000}
_FORM: Document = {"type": "object", "additionalProperties": False}

PREDICT_BODY: Document = {
    "required": True,
    "content": {
        **{kind: {"schema": _BINARY} for kind in ("image/jpeg", "image/png", "image/webp", "application/octet-stream")},
        "multipart/form-data": {
            "schema": {
                **_FORM,
                "properties": {"images": {"type": "array", "items": _BINARY, "minItems": 1}, "top_k": _TOP_K},
                "required": ["images"],
            }
        },
        "application/json": {"schema": {"$ref": "#/components/schemas/PredictJson"}},
    },
}
UPLOAD_BODY: Document = {
    "required": True,
    "content": {
        "application/octet-stream": {"schema": _BINARY},
        "multipart/form-data": {"schema": {**_FORM, "properties": {"file": _BINARY}, "required": ["file"]}},
    },
}


def release() -> str:
    """The version of the installed distribution."""
    return version("mimi-serving")


def documented(*statuses: int) -> dict[int | str, Document]:
    """Errors of a route, for FastAPI's `responses`."""
    return {status: {"model": Problem, "description": HTTPStatus(status).phrase} for status in statuses}


def document(api: FastAPI, *, needs_key: bool) -> Document:
    """The OpenAPI 3.1 document; security is named only where the server has keys."""
    if api.openapi_schema is None:
        schema = api.openapi()
        schema["components"]["schemas"]["PredictJson"] = PredictJson.model_json_schema()
        for operation in (operation for path in schema["paths"].values() for operation in path.values()):
            _name_errors(operation["responses"])
            if not needs_key:
                operation.pop("security", None)
    return api.openapi_schema or {}


def _name_errors(responses: Mapping[str, Document]) -> None:
    for status, response in responses.items():
        if int(status) >= HTTPStatus.BAD_REQUEST and "application/json" in response.get("content", {}):
            response["content"] = {MEDIA_TYPE: response["content"]["application/json"]}
