"""Examples for the OpenAPI document, of everything about managing tasks; a test holds them to the schemas."""

from typing import Any

from service.task_schemas import TaskChange, ToVersion, ToWeights

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
    "golden": {"reference": 2.4e-7, "engine": 2.4e-7, "tolerance": 0.0041},
}
_SCRAPED = '# TYPE mimi_requests_total counter\nmimi_requests_total{outcome="ok",task="digits"} 3.0\n'
_ALIAS: Document = {"alias": "live", "weights": _CANARY}

_SUMMARY: Document = {"task": "digits", "ready": True, "version": 4, "sha256": _SHA, "classes": 10, "reason": None}

EXAMPLES: dict[str, Document] = {
    "tasks": {"tasks": [_SUMMARY], "backbone": "mimi_swin", "backbone_fingerprint": _SHA},
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
    },
    "versions": {"task": "digits", "generation": 17, "versions": _VERSIONS},
    "version": {
        **_VERSION,
        **_DESCRIPTION,
        "task": "digits",
        "generation": 17,
        "backbone": "mimi_swin",
        "backbone_fingerprint": _SHA,
        "servable": True,
    },
    "aliases": {"task": "digits", "generation": 17, "aliases": [_ALIAS]},
    "alias": {"task": "digits", "generation": 17, **_ALIAS},
    "rollback": {"task": "digits", "generation": 18, "alias": "live", "weights": {"3": 1.0}},
}

_ETAG: Document = {"ETag": {"description": "the task's generation, in quotes", "schema": {"type": "string"}}}


def answer(name: str) -> Document:
    """An answer about one task with its example, for FastAPI's `responses`; the task's generation is its ETag."""
    return {"headers": _ETAG, **plain(name)}


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
            "schema": {"oneOf": [ToVersion.model_json_schema(), ToWeights.model_json_schema()]},
            "examples": {
                "version": {"summary": "everything to one version", "value": {"version": 3}},
                "canary": {"summary": "a tenth to version 4", "value": {"weights": _CANARY}},
            },
        }
    },
}
