"""What the OpenAPI document says beyond the routes' signatures: request bodies, errors, and the version.

FastAPI documents errors as plain JSON; here they become what is really sent.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from service import curl, error_examples
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
        for method, path, operation in _operations(schema):
            _describe_errors(operation["responses"], method, path)
            if commands := curl.samples(method, path):
                operation["x-codeSamples"] = commands
            if not needs_key:
                operation.pop("security", None)
    return api.openapi_schema or {}


def _operations(schema: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in schema["paths"].items():
        yield from ((method, path, operation) for method, operation in methods.items())


def _describe_errors(responses: Mapping[str, Document], method: str, path: str) -> None:
    """Say which body an error has, with examples: a problem; below /v2 what the protocol says, or the route's own."""
    v2 = speaks_v2(path)
    for status, response in responses.items():
        content = response.get("content", {}).get("application/json")
        if content is None or int(status) < HTTPStatus.BAD_REQUEST or content["schema"] != _PROBLEM:
            continue
        body = {"schema": _V2_ERROR if v2 else _PROBLEM, "examples": error_examples.examples(int(status), method, path)}
        response["content"] = {"application/json" if v2 else MEDIA_TYPE: body}
        response["headers"] = error_examples.headers(int(status))
