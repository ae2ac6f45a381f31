"""What the OpenAPI document says beyond the routes' signatures: request bodies, errors, and the version.

FastAPI documents errors as plain JSON; here they become what is really sent.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from service.problems import MEDIA_TYPE, speaks_v2
from service.schemas import Problem
from service.v2 import docs

Document = dict[str, Any]

_BINARY: Document = {"type": "string", "format": "binary"}
_FORM: Document = {"type": "object", "additionalProperties": False}

_PROBLEM: Document = {"$ref": "#/components/schemas/Problem"}
_V2_ERROR: Document = {"$ref": "#/components/schemas/InferenceError"}

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
        schema["components"]["schemas"] |= docs.components()
        for path, operation in _operations(schema):
            _name_errors(operation["responses"], v2=speaks_v2(path))
            if not needs_key:
                operation.pop("security", None)
    return api.openapi_schema or {}


def _operations(schema: Document) -> Iterator[tuple[str, Document]]:
    return ((path, operation) for path, methods in schema["paths"].items() for operation in methods.values())


def _name_errors(responses: Mapping[str, Document], *, v2: bool) -> None:
    """Say which body an error has: a problem; below /v2 what the protocol says, unless the route has its own."""
    for status, response in responses.items():
        content = response.get("content", {}).get("application/json")
        if content is None or int(status) < HTTPStatus.BAD_REQUEST:
            continue
        if not v2:
            response["content"] = {MEDIA_TYPE: content}
        elif content["schema"] == _PROBLEM:
            response["content"] = {"application/json": {"schema": _V2_ERROR}}
