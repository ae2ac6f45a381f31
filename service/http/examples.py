"""Examples for the OpenAPI document: answers, request bodies, and errors.

Tests hold the answers to their schemas. The errors are real ones, sent through the one table of problems.py.
"""

import re
from typing import Any, NamedTuple

from pydantic import BaseModel

from adapters_store import errors as store
from backbone import errors as images
from service import errors as own
from service.engine import errors as engine
from service.problems import answer_to, speaks_v2
from service.schemas import MAX_TASKS, TASK_PATTERN, FanoutJson, PredictJson, TaskChange, ToVersion, ToWeights

Document = dict[str, Any]

_SHA = "3f7c1c0a5d1f4b1f7b3f8f0c2a9f7d1e6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e"
_OLDER = "0b1f2e3d4c5b6a79880c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f60718293a4b5c6"
_CANARY: Document = {"3": 0.9, "4": 0.1}

_VERSION: Document = {
    "version": 4,
    "sha256": _SHA,
    "bytes": 57344,
    "created_at": "2026-03-01T12:00:00Z",
    "aliases": ["live"],
}
_VERSIONS = [_VERSION, {**_VERSION, "version": 3, "sha256": _OLDER}]
_PROVENANCE: Document = {
    "method": "mimi",
    "dataset": "digits",
    "seed": 0,
    "cycles": 3,
    "epochs": 21,
    "initial_compression": 32.0,
    "target_compression": 512.0,
    "pruning_fraction": 0.5,
    "initial_widths": [12, 12, 24, 24],
    "adapter_parameters": 3264,
    "head_parameters": 3850,
    "flops": 182200000,
    "metrics": {"test_top1": 0.978},
}
_DESCRIPTION: Document = {
    "description": "handwritten digits",
    "labels": ["0", "1", "2"],
    "widths": [0, 3, 0, 5],
    "live_sites": 2,
    "first_live_site": 1,
    "gflops": 0.1822,
    "gflops_saved": 0.0066,
    "provenance": _PROVENANCE,
}
_SHARES: Document = {key: [0.98, 0.96, 1.0] for key in ("precision", "recall", "average_precision")}
_FIGURES: Document = {**_SHARES, "images": 143, "confusion": [[0, 0, 48], [1, 0, 1], [1, 1, 46], [2, 2, 48]]}
_READ: Document = {"activation": "softmax", "temperature": 0.53, "thresholds": [0.49, 0.65, 0.37]}
_RULES: Document = {**_READ, "known_method": "mahalanobis", "known_share": 0.95, "validation": _FIGURES}
_CHECKS = [
    {"name": "generation", "outcome": "passed", "detail": ""},
    {"name": "checksum", "outcome": "skipped", "detail": "no checksum came with the file"},
    {"name": "golden sample", "outcome": "passed", "detail": "logits differ by 2.4e-07, allowed are 0.0041"},
]
_UPLOAD: Document = {
    "task": "digits",
    "version": 4,
    "sha256": _SHA,
    "created": True,
    "active": True,
    "dry_run": False,
    "generation": 17,
    "checks": _CHECKS,
    "warnings": ["test_top1 is 0.9310, that of the live version is 0.9694"],
    "golden": {"reference": 2.4e-7, "engine": 2.4e-7, "tolerance": 0.0041, "score": 1.2e-7},
}
_SCRAPED = '# TYPE mimi_requests_total counter\nmimi_requests_total{outcome="ok",task="digits"} 3.0\n'
_ALIAS: Document = {"alias": "live", "weights": _CANARY}

_SUMMARY: Document = {
    "task": "digits",
    "ready": True,
    "version": 4,
    "sha256": _SHA,
    "bytes": 56_028,
    "shares": {"3": 0.1, "4": 0.9},
    "classes": 10,
    "live_sites": 5,
    "gflops_saved": 0.0067,
    "reason": None,
}

_CORRECTION: Document = {
    "id": 7,
    "task": "digits",
    "labels": ["3"],
    "version": 4,
    "predicted": "8",
    "probability": 0.41,
    "unknown_score": 0.9,
    "created_at": "2026-03-01T12:00:00Z",
    "bytes": 1834,
}

EXAMPLES: dict[str, Document] = {
    "correction": _CORRECTION,
    "corrections": {"task": "digits", "corrections": [_CORRECTION]},
    "tasks": {"tasks": [_SUMMARY], "next": "ZGlnaXRz", "backbone": "mimi_swin", "backbone_fingerprint": _SHA},
    "alive": {"status": "alive"},
    "ready": {"status": "ready"},
    "upload": _UPLOAD,
    "upload_known": {**_UPLOAD, "created": False},
    "task": {
        **_DESCRIPTION,
        "task": "digits",
        "generation": 17,
        "ready": True,
        "reason": None,
        "served_generation": 17,
        "version": 3,
        "sha256": _OLDER,
        "bytes": 57344,
        "aliases": [_ALIAS],
        "versions": _VERSIONS,
        "answers": _RULES,
    },
    "versions": {"task": "digits", "generation": 17, "versions": _VERSIONS, "next": None},
    "version": {
        **_VERSION,
        **_DESCRIPTION,
        "task": "digits",
        "generation": 17,
        "backbone": "mimi_swin",
        "backbone_fingerprint": _SHA,
        "servable": True,
        "extensible": False,
        "answers": _RULES,
    },
    "aliases": {"task": "digits", "generation": 17, "aliases": [_ALIAS]},
    "alias": {"task": "digits", "generation": 17, **_ALIAS},
    "rollback": {"task": "digits", "generation": 18, "alias": "live", "weights": {"3": 1.0}},
}

_ETAG: Document = {"ETag": {"description": "the task's generation, in quotes", "schema": {"type": "string"}}}


def answer(name: str) -> Document:
    """An answer about one task with its example, for FastAPI's `responses`; the task's generation is its ETag."""
    return {"headers": _ETAG, **plain(name)}


def listing(name: str) -> Document:
    """A page of a list with its example."""
    link = {"description": 'the next page, rel="next"; absent on the last one', "schema": {"type": "string"}}
    tag = {"description": "changes with the page", "schema": {"type": "string"}}
    return {"headers": {"ETag": tag, "Link": link}, **plain(name)}


def plain(name: str) -> Document:
    """An answer with its example alone."""
    return {"content": {"application/json": {"example": EXAMPLES[name]}}}


METRICS: Document = {"content": {"text/plain": {"schema": {"type": "string"}, "example": _SCRAPED}}}
NOT_MODIFIED: Document = {"description": "the copy that the client has is the same"}
ADAPTER_FILE: Document = {
    "description": "the task adapter file",
    "headers": {
        "ETag": {"description": "SHA-256 of the file in hex, in quotes", "schema": {"type": "string"}},
        "Repr-Digest": {"description": "SHA-256 of the file in base64", "schema": {"type": "string"}},
    },
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}
IMAGE_FILE: Document = {"description": "the image", "content": ADAPTER_FILE["content"]}
CHANGE_BODY: Document = {
    "required": True,
    "content": {
        "application/json": {
            "schema": TaskChange.model_json_schema(),
            "example": {"description": "handwritten digits, as on cheques"},
        }
    },
}
ALIAS_BODY: Document = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"title": "AliasTarget", "oneOf": [ToVersion.model_json_schema(), ToWeights.model_json_schema()]},
            "examples": {
                "version": {"summary": "everything to one version", "value": {"version": 3}},
                "canary": {"summary": "a tenth to version 4", "value": {"weights": _CANARY}},
            },
        }
    },
}

_ANY, _WITH_BODY, _CHANGES = ".*", "(post|put|patch) .*", "(put|patch|delete) .*|post .*/(rollback|load|unload|classes)"
_ASKS, _UPLOADS = "post .*/(predict|infer|classes|feedback)", "put /v1/tasks/{task}"
_CLASSES, _FEEDBACK = "post .*/classes", ".*/feedback.*"


class Sample(NamedTuple):
    """An error, and the routes that may answer with it, as a pattern of "method path"."""

    error: Exception
    where: str = _ANY


SAMPLES = (
    Sample(own.MalformedRequest("give Content-Length once, or Transfer-Encoding, never both")),
    Sample(own.MalformedJson("JSON must be UTF-8"), _WITH_BODY),
    Sample(own.InvalidInference("the shape [2] and the data do not agree"), "post .*/infer"),
    Sample(
        own.MalformedHeader("an entity tag stands in double quotes; several are separated by commas"),
        f"{_CHANGES}|get /v1/tasks.*",
    ),
    Sample(own.Unauthorized("this server needs a key: Authorization: Bearer <key>")),
    Sample(own.Forbidden("this key may not upload, download, change or delete"), f"{_CHANGES}|.*/file"),
    Sample(own.Forbidden("this key may not read or predict")),
    Sample(own.ForeignOrigin("web pages of other sites may not ask: see cors_origins"), f"{_CHANGES}|post .*"),
    Sample(own.UnknownTask("no task of this name is published"), ".*({task}|/v1/predict).*"),
    Sample(store.UnknownVersion(), ".*({version}|aliases/{alias}|rollback).*"),
    Sample(store.UnknownAlias(), ".*({alias}|rollback).*"),
    Sample(own.RequestTimeout("the body must arrive within 10 seconds"), _WITH_BODY),
    Sample(store.StaleGeneration("digits", 17, 18), _CHANGES),
    Sample(own.ChangedMeanwhile("somebody changed the task at the same time"), "post .*/(rollback|classes)"),
    Sample(store.NoStatistics(), _CLASSES),
    Sample(own.FeedbackOff("this task takes no corrections here"), _FEEDBACK),
    Sample(own.UnknownFeedback("there is no such correction"), ".*/feedback/.*"),
    Sample(own.UnknownRequest("no image of this request is remembered: send the image itself"), "post .*/feedback"),
    Sample(own.FeedbackFull("there is no room for another correction"), _FEEDBACK),
    Sample(own.FeedbackUnavailable("the file of corrections cannot be used now"), _FEEDBACK),
    Sample(own.Forbidden("this key may not add, read or delete corrections"), _FEEDBACK),
    Sample(store.LabelExists(), _CLASSES),
    Sample(store.TooFewImages(), _CLASSES),
    Sample(store.VersionInUse(), "delete .*{version}"),
    Sample(own.NothingToRollBack("the alias never pointed anywhere else"), "post .*/rollback"),
    Sample(
        engine.BackboneMismatch("backbone", expected="swin a5ef…", found="swin 07c1…"),
        f"{_UPLOADS}|post .*/load|.*{{alias}}",
    ),
    Sample(own.BodyTooLarge("a request body has at most 34603008 bytes")),
    Sample(images.ImageTooLarge("the image has more than 50000000 pixels"), _ASKS),
    Sample(own.UnsupportedEncoding("a POST may have the Content-Encoding gzip or deflate"), _WITH_BODY),
    Sample(store.NotSafetensors(), _UPLOADS),
    Sample(images.ImageTooCostly("the image has more than 100 scans"), _ASKS),
    Sample(images.UnsupportedFormat("the bytes are not an image of a supported format (JPEG, PNG, WEBP)"), _ASKS),
    Sample(own.MisdirectedRequest("this server does not go by that name: see allowed_hosts")),
    Sample(own.InvalidRequest("query: there is a parameter that this route does not take")),
    Sample(own.ChecksumMismatch("the bytes that arrived do not give the checksum that came with them"), _UPLOADS),
    Sample(engine.GoldenMismatch("logits differ by 0.3, allowed are 0.0041"), _UPLOADS),
    Sample(own.RateLimited(2)),
    Sample(own.HeadersTooLarge("at most 64 headers of 16384 bytes together")),
    Sample(own.NotReady("the server is stopping")),
    Sample(own.RefusedByWarnings("test_top1 is 0.9310, that of the live version is 0.9694"), _UPLOADS),
    Sample(own.NoLiveVersion("this task cannot be served here: no version is live"), f"{_ASKS}|post .*/load"),
    Sample(own.TaskUnloaded("this task cannot be served here: unloaded on this server"), _ASKS),
    Sample(own.ConfirmationRequired("without live the task answers nothing: confirm it"), "delete .*{alias}"),
    Sample(
        own.TaskRefused("this task cannot be served here: it was made for another network"), f"{_ASKS}|post .*/load"
    ),
    Sample(own.TaskDamaged("this task cannot be served here: its bytes are damaged"), f"{_ASKS}|post .*/load"),
    Sample(engine.QueueFull("250 of 256 images wait already", seconds=1.2), _ASKS),
    Sample(own.UploadBacklog("too many uploads wait to be checked"), _CHANGES),
    Sample(store.StoreUnavailable(), f"{_CHANGES}|get /v1/tasks/.*"),
    Sample(engine.DeadlineExceeded("the deadline passed before the images were decoded"), _ASKS),
    Sample(store.StoreFull(), _CHANGES),
)
_ERROR_HEADERS: dict[int, Document] = {
    401: {"WWW-Authenticate": {"description": "Bearer", "schema": {"type": "string"}}},
    429: {"Retry-After": {"description": "whole seconds", "schema": {"type": "integer"}}},
    503: {"Retry-After": {"description": "whole seconds", "schema": {"type": "integer"}}},
}


def errors(status: int, method: str, path: str) -> Document:
    """The error bodies that a route may send with this status, by code."""
    found: Document = {}
    for sample in SAMPLES:
        answer = answer_to(sample.error)
        code, problem = answer.problem.code, answer.problem
        if answer.status == status and code not in found and re.fullmatch(sample.where, f"{method} {path}"):
            found[code] = {"value": {"error": problem.detail} if speaks_v2(path) else problem.model_dump()}
    return found


def error_headers(status: int) -> Document:
    """The documented headers of an error; empty if it has none."""
    return _ERROR_HEADERS.get(status, {})


_BINARY: Document = {"type": "string", "format": "binary"}
_OPTIONS: Document = {
    "images": {"type": "array", "items": _BINARY, "minItems": 1},
    "top_k": {"type": "integer", "minimum": 1, "maximum": 10_000},
    "output": {"$ref": "#/components/schemas/Output"},
    "threshold": {"type": "number", "minimum": 0, "maximum": 1},
}
_TASKS: Document = {"type": "array", "items": {"type": "string", "pattern": TASK_PATTERN}, "maxItems": MAX_TASKS}
# a PNG of 8 x 8 pixels
_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR4nGM8wQABTAwUMQA6AADYhMgK6QAAAABJRU5ErkJggg=="


CLASS_BODY: Document = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "title": "ClassForm",
                "type": "object",
                "additionalProperties": False,
                "properties": {"images": {**_OPTIONS["images"], "minItems": 2}, "label": {"type": "string"}},
                "required": ["images"],
            }
        }
    },
}


def feedback_body(by_request: type[BaseModel]) -> Document:
    """The body of a correction: an image with its labels, or the request that the image came with."""
    labels: Document = {"type": "array", "items": {"type": "string"}}
    form: Document = {
        "title": "FeedbackForm",
        "type": "object",
        "additionalProperties": False,
        "properties": {"image": _BINARY, "label": labels},
        "required": ["image"],
    }
    example = {"request_id": "8f0c5c0a5d1f4b1f7b3f8f0c2a9f7d1e", "labels": ["3"]}
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form},
            "application/json": {"schema": by_request.model_json_schema(), "example": example},
        },
    }


def _body(schema: type[BaseModel], form_title: str, fields: Document, examples: Document) -> Document:
    closed = {"type": "object", "additionalProperties": False, "required": ["images"]}
    form = {"title": form_title, **closed, "properties": fields}
    return {
        "required": True,
        "content": {
            # first, because generated clients take the first type as theirs; any other type is raw bytes
            "application/json": {
                "schema": schema.model_json_schema(ref_template="#/components/schemas/{model}"),
                "examples": examples,
            },
            "application/octet-stream": {"schema": _BINARY},
            "multipart/form-data": {"schema": form},
        },
    }


PREDICT_BODY = _body(
    PredictJson,
    "PredictForm",
    _OPTIONS,
    {
        "the best two": {"value": {"images": [_DOT], "top_k": 2}},
        "labels from 0.9 on": {"value": {"images": [_DOT], "threshold": 0.9}},
        "logits": {"value": {"images": [f"data:image/png;base64,{_DOT}"], "output": "logits"}},
    },
)
FANOUT_BODY = _body(
    FanoutJson,
    "FanoutForm",
    {**_OPTIONS, "tasks": _TASKS},
    {
        "two tasks": {"value": {"images": [_DOT], "tasks": ["digits", "digits-parity"]}},
        "every task": {"value": {"images": [_DOT], "tasks": "all", "top_k": 1}},
    },
)

_RESULT: Document = {
    "predictions": [{"label": "3", "index": 3, "probability": 0.96}],
    "labels": ["3"],
    "known": True,
    "unknown_score": 0.62,
    "gflops_spent": 0.1022,
    "gflops_saved": 0.0066,
    "gflops_shared": 0.08,
    "trunk_share": 0.439,
}
_TASK_ANSWER: Document = {"task": "digits", "version": 1, "sha256": "88f0" * 16, "results": [_RESULT]}
_TIMINGS: Document = {"timings": {"decode_ms": 0.8, "queue_ms": 0.1, "compute_ms": 9.2}}


def _predicted(value: Document) -> Document:
    return {
        "description": "The answers, in the order of the images",
        "content": {"application/json": {"example": value}},
    }


ANSWERED = _predicted({**_TASK_ANSWER, **_TIMINGS})
FANNED_OUT = _predicted({"answers": [_TASK_ANSWER, {**_TASK_ANSWER, "task": "digits-parity"}], **_TIMINGS})
