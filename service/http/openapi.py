"""Completes the OpenAPI document that FastAPI makes: request bodies, errors, and commands of curl.

FastAPI documents errors as plain JSON; here they get the schemas of the real error bodies.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from service.http import examples
from service.http.v2 import docs
from service.problems import MEDIA_TYPE, speaks_v2
from service.schemas import Problem

RELEASE = version("mimi-serving")

Document = dict[str, Any]

_BINARY: Document = {"type": "string", "format": "binary"}
_FORM: Document = {"title": "UploadForm", "type": "object", "additionalProperties": False}
_DESCRIPTION = """\
What holds for every route is in docs/api.md: pages, entity tags, compression, canaries.

Answers may gain members with any release: ignore those that you do not know. Requests with a member or a parameter
that a route does not know are refused.
"""
_SERVERS = [{"url": "/", "description": "the server that this document comes from"}]
_REFS = "#/components/schemas/"

_PROBLEM: Document = {"$ref": "#/components/schemas/Problem"}
_V2_ERROR: Document = {"$ref": "#/components/schemas/InferenceError"}

UPLOAD_BODY: Document = {
    "required": True,
    "content": {
        "application/octet-stream": {"schema": _BINARY},
        "multipart/form-data": {"schema": {**_FORM, "properties": {"file": _BINARY}, "required": ["file"]}},
    },
}


def documented(*statuses: int) -> dict[int | str, Document]:
    """Errors of a route, for FastAPI's `responses`."""
    return {status: {"model": Problem, "description": HTTPStatus(status).phrase} for status in statuses}


def document(api: FastAPI, *, needs_key: bool) -> Document:
    """The OpenAPI 3.1 document; it asks for a key only if the server has keys."""
    if api.openapi_schema is None:
        schema = api.openapi()
        schema["info"]["description"], schema["servers"] = _DESCRIPTION, _SERVERS
        schemas = schema["components"]["schemas"]
        schemas |= docs.components()
        for method, path, operation in _operations(schema):
            _describe_errors(operation["responses"], method, path)
            _name_bodies(operation.get("requestBody", {}).get("content", {}), schemas)
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _without_null(parameter["schema"])
            if commands := curl_samples(method, path):
                operation["x-codeSamples"] = commands
            if not needs_key:
                operation.pop("security", None)
        if not needs_key:
            del schema["components"]["securitySchemes"]
    return api.openapi_schema or {}


def operation_id(route: APIRoute) -> str:
    """The short name of a route, which becomes a method of generated clients; those of the protocol begin with v2."""
    return f"v2_{route.name}" if speaks_v2(route.path_format) else route.name


def _name_bodies(content: Document, schemas: Document) -> None:
    """Give the schemas of a body names in the document, so that routes share them, and clients have one type each."""
    for body in content.values():
        body["schema"] = _named(body["schema"], schemas)


def _named(schema: Document, schemas: Document) -> Document:
    if "title" not in schema:
        return schema
    schemas |= schema.get("$defs", {})
    own = {key: value for key, value in schema.items() if key != "$defs"}
    if "oneOf" in own:
        own["oneOf"] = [_named(each, schemas) for each in own["oneOf"]]
    schemas[schema["title"]] = own
    return {"$ref": f"{_REFS}{schema['title']}"}


def _without_null(schema: Document) -> Document:
    """A parameter that is left out is not null, which no query and no header can say."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    (kind,) = kinds
    if "$ref" in kind:  # alone: what stands beside it confuses generators, and stands in the parameter as well
        return dict(kind)
    return {**kind, **{key: value for key, value in schema.items() if key != "anyOf"}}


def encoded(api: FastAPI, *, needs_key: bool) -> tuple[bytes, str]:
    """The document as JSON, and its entity tag; made once."""
    if not hasattr(api.state, "document"):
        data = json.dumps(document(api, needs_key=needs_key), separators=(",", ":")).encode()
        api.state.document = data, f'"{sha256(data).hexdigest()}"'
    found: tuple[bytes, str] = api.state.document
    return found


def _operations(schema: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in schema["paths"].items():
        yield from ((method, path, operation) for method, operation in methods.items())


def _describe_errors(responses: Mapping[str, Document], method: str, path: str) -> None:
    """Describe the body of each error with examples: a problem, or below /v2 the protocol's error."""
    v2 = speaks_v2(path)
    for status, response in responses.items():
        content = response.get("content", {}).get("application/json")
        if content is None or int(status) < HTTPStatus.BAD_REQUEST or content["schema"] != _PROBLEM:
            continue
        body = {"schema": _V2_ERROR if v2 else _PROBLEM, "examples": examples.errors(int(status), method, path)}
        response["content"] = {"application/json" if v2 else MEDIA_TYPE: body}
        response["headers"] = examples.error_headers(int(status))


_SAMPLES: Sequence[tuple[str, Sequence[str]]] = (  # a pattern of "method path", and what to type
    ("put /v1/tasks/{task}", ["-T digits.safetensors"]),
    ("post .*/feedback", ["-F label=3 -F image=@three.png"]),
    ("get .*/feedback/{number}/image", ["-o image"]),
    (".*/classes", ["-F label=ten -F images=@ten-1.png -F images=@ten-2.png"]),
    ("get .*/file", ["-o digits.safetensors"]),
    ("head .*/file", ["-I"]),
    (".*/predict", ["--data-binary @three.png", "-F image=@three.png -F image=@eight.png -F top_k=1"]),
    (".*/infer", ["-H 'Inference-Header-Content-Length: 0' --data-binary @three.png -o answer.bin"]),
)
_NAMES = {"{task}": "digits", "{version}": "3", "{alias}": "live", "{number}": "7"}


def curl_samples(method: str, path: str) -> list[dict[str, Any]]:
    """Commands of curl for a route, as the extension `x-codeSamples`; none if JSON examples suffice."""
    return [
        {"lang": "Shell", "label": "curl", "source": f"curl {options} $URL{_filled(path)}"}
        for pattern, all_options in _SAMPLES
        if re.fullmatch(pattern, f"{method} {path}")
        for options in all_options
    ]


def _filled(path: str) -> str:
    for name, value in _NAMES.items():
        path = path.replace(name, value)
    return path
