"""Examples of errors for the OpenAPI document: real errors through the one table, so that they are what is sent."""

import re
from typing import Any, NamedTuple

from adapters_store import errors as artifact
from adapters_store import store_errors as store
from backbone import errors as images
from service import errors as own
from service.engine import errors as engine
from service.problems import answer_to, speaks_v2

Document = dict[str, Any]

_ANY, _WITH_BODY, _CHANGES = ".*", "(post|put|patch) .*", "(put|patch|delete) .*|post .*/(rollback|load|unload)"
_ASKS, _UPLOADS = "post .*/(predict|infer)", "put /v1/tasks/{task}"


class Sample(NamedTuple):
    """An error, and the routes that may answer with it, as a pattern of "method path"."""

    error: Exception
    where: str = _ANY


SAMPLES = (
    Sample(own.MalformedRequest("give Content-Length once, or Transfer-Encoding, never both")),
    Sample(own.MalformedJson("JSON must be UTF-8"), _WITH_BODY),
    Sample(own.InvalidInference("the shape [2] and the data do not agree"), "post .*/infer"),
    Sample(own.MalformedHeader("an entity tag stands in double quotes; several are separated by commas"), _CHANGES),
    Sample(own.Unauthorized("this server needs a key: Authorization: Bearer <key>")),
    Sample(own.Forbidden("this key may not upload, download, change or delete"), f"{_CHANGES}|.*/file"),
    Sample(own.Forbidden("this key may not read or predict")),
    Sample(own.ForeignOrigin("web pages of other sites may not ask: see cors_origins"), f"{_CHANGES}|post .*"),
    Sample(own.UnknownTask("no task of this name is published"), ".*({task}|/v1/predict).*"),
    Sample(store.UnknownVersion(), ".*({version}|aliases/{alias}|rollback).*"),
    Sample(store.UnknownAlias(), ".*({alias}|rollback).*"),
    Sample(own.RequestTimeout("the body must arrive within 10 seconds"), _WITH_BODY),
    Sample(store.StaleGeneration("digits", 17, 18), _CHANGES),
    Sample(store.VersionInUse(), "delete .*{version}"),
    Sample(own.NothingToRollBack("the alias never pointed anywhere else"), "post .*/rollback"),
    Sample(engine.BackboneMismatch("backbone", expected="swin a5ef…", found="swin 07c1…"), f"{_UPLOADS}|post .*/load"),
    Sample(own.BodyTooLarge("a request body has at most 34603008 bytes")),
    Sample(images.ImageTooLarge("the image has more than 16000000 pixels"), _ASKS),
    Sample(own.UnsupportedEncoding("send the body without a Content-Encoding"), _WITH_BODY),
    Sample(artifact.NotSafetensors(), _UPLOADS),
    Sample(images.UnsupportedFormat("the bytes are not an image of a supported format (JPEG, PNG, WEBP)"), _ASKS),
    Sample(own.MisdirectedRequest("this server does not go by that name: see allowed_hosts")),
    Sample(own.InvalidRequest("query: there is a parameter that this route does not take")),
    Sample(own.ChecksumMismatch("the bytes that arrived do not give the checksum that came with them"), _UPLOADS),
    Sample(engine.GoldenMismatch("logits differ by 0.3, allowed are 0.0041"), _UPLOADS),
    Sample(own.RateLimited(2)),
    Sample(own.HeadersTooLarge("at most 64 headers of 16384 bytes together")),
    Sample(own.NotReady("the server is stopping")),
    Sample(own.TaskUnavailable("this task cannot be served here: no version is live"), f"{_ASKS}|post .*/load"),
    Sample(engine.QueueFull("250 of 256 images wait already", seconds=1.2), _ASKS),
    Sample(own.UploadBacklog("too many uploads wait to be checked"), _CHANGES),
    Sample(store.StoreUnavailable(), f"{_CHANGES}|get /v1/tasks/.*"),
    Sample(engine.DeadlineExceeded("the deadline passed before the images were decoded"), _ASKS),
    Sample(store.StoreFull(), _CHANGES),
)
_HEADERS: dict[int, Document] = {
    401: {"WWW-Authenticate": {"description": "Bearer", "schema": {"type": "string"}}},
    429: {"Retry-After": {"description": "whole seconds", "schema": {"type": "integer"}}},
    503: {"Retry-After": {"description": "whole seconds", "schema": {"type": "integer"}}},
}


def examples(status: int, method: str, path: str) -> Document:
    """What a route may answer with an error status, by code, each as the body that would be sent."""
    found: Document = {}
    for sample in SAMPLES:
        answer = answer_to(sample.error)
        code, problem = answer.problem.code, answer.problem
        if answer.status == status and code not in found and re.fullmatch(sample.where, f"{method} {path}"):
            found[code] = {"value": {"error": problem.detail} if speaks_v2(path) else problem.model_dump()}
    return found


def headers(status: int) -> Document:
    """What an error says in its headers, where it does."""
    return _HEADERS.get(status, {})
