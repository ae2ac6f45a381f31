"""The table from errors to HTTP status codes, and the error body (RFC 9457, application/problem+json).

Below /v2 the error body is that of the Open Inference Protocol.

Every layer raises its own classes of errors; only this file knows status codes. A class that is not in the table takes
the status of its nearest base class. Any other exception is our own bug: 500, without details.
"""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from adapters_store import AdaptersStoreError
from adapters_store import errors as store
from backbone import errors as images
from service import errors as own
from service.engine import errors as engine
from service.schemas import Problem

MEDIA_TYPE = "application/problem+json"
CLIENT_CLOSED_REQUEST = 499  # no standard status: nobody reads it but our own metrics

STATUS: Mapping[type[Exception], int] = {
    own.MalformedRequest: 400,
    own.MalformedForm: 400,
    own.MalformedJson: 400,
    own.MalformedHeader: 400,
    own.InvalidInference: 400,
    own.Unauthorized: 401,
    own.Forbidden: 403,
    own.ForeignOrigin: 403,
    own.UnknownTask: 404,
    own.RequestTimeout: 408,
    own.BodyTooLarge: 413,
    own.UnsupportedEncoding: 415,
    own.NothingToRollBack: 409,
    own.FeedbackOff: 409,
    own.UnknownFeedback: 404,
    own.UnknownRequest: 404,
    own.FeedbackFull: 507,
    own.FeedbackUnavailable: 503,
    own.ChangedMeanwhile: 409,
    own.InvalidRequest: 422,
    own.ChecksumMismatch: 422,
    own.NonFiniteOutput: 422,
    own.MisdirectedRequest: 421,
    own.QuotaExceeded: 429,
    own.HeadersTooLarge: 431,
    own.ClientGone: CLIENT_CLOSED_REQUEST,
    own.NotReady: 503,
    own.TaskUnavailable: 503,
    own.NoLiveVersion: 404,  # this one and the next two are permanent: 503 would have clients ask again in vain
    own.TaskUnloaded: 409,
    own.TaskRefused: 409,
    own.ConfirmationRequired: 428,
    own.RefusedByWarnings: 409,
    own.Overloaded: 503,
    ClientDisconnect: CLIENT_CLOSED_REQUEST,
    RequestValidationError: 422,
    images.ImageTooLarge: 413,
    images.ImageTooCostly: 422,
    images.UnsupportedFormat: 415,
    images.UnsupportedMode: 422,
    images.BadImage: 422,
    store.NotSafetensors: 415,
    store.FileTooLarge: 413,
    store.ArtifactError: 422,
    store.NotExtensible: 409,
    store.TooFewImages: 422,
    store.StoreError: 503,
    store.InvalidName: 422,
    store.InvalidSplit: 422,
    store.InvalidDescription: 422,
    store.NotFound: 404,
    store.Conflict: 409,
    store.StaleGeneration: 412,  # raised for preconditions alone
    store.StoreFull: 507,
    engine.AdmissionError: 409,
    engine.GoldenError: 422,
    engine.RequestTooLarge: 413,
    engine.RowFailed: 503,
    engine.Unavailable: 503,
    engine.DeadlineExceeded: 504,
}
_LASTING = (  # faults of the server that last until somebody mends them: no time to ask again is given
    own.TaskDamaged,
    store.Damaged,
    store.StoreDamaged,
    store.StoreReadOnly,
    store.NotAStore,
    store.UnsupportedStoreVersion,
)
_CODES = {RequestValidationError: "invalid_request", ClientDisconnect: "client_gone"}


class ProblemResponse(NamedTuple):
    """An error as HTTP: status, body, and headers beyond the usual ones."""

    status: int
    problem: Problem
    headers: dict[str, str]


def answer_to(error: Exception) -> ProblemResponse:
    """The HTTP answer to an error, from the table alone."""
    if isinstance(error, HTTPException):  # the router's own: no such path, no such method
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        return _answer(error.status_code, code, "", dict(error.headers or {}))
    if engine.is_out_of_memory(error):
        return _answer(503, "out_of_memory", "the server has not enough memory for this now", {})
    base = next((base for base in type(error).__mro__ if base in STATUS), None)
    if base is None:
        return _answer(500, "internal_error", "", {})
    headers = {}
    if isinstance(error, own.QuotaExceeded | engine.Crowded):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, own.UnsupportedEncoding):
        headers["Accept-Encoding"] = "gzip, deflate"  # what a body may have (RFC 9110, section 12.5.3)
    answer = _answer(STATUS[base], _CODES.get(base) or _code(type(error).__name__), _detail(error), headers)
    if isinstance(error, _LASTING):
        del answer.headers["Retry-After"]
    return answer


def response_to(error: Exception, path: str = "") -> Response:
    """The response to an error of a request to `path`."""
    status, problem, headers = answer_to(error)
    if speaks_v2(path):
        return Response(json.dumps({"error": problem.detail}), status, headers, media_type="application/json")
    return Response(json.dumps(problem.model_dump()), status, headers, media_type=MEDIA_TYPE)


def speaks_v2(path: str) -> bool:
    """Whether a path belongs to the Open Inference Protocol, whose error body is {"error": text}."""
    return path == "/v2" or path.startswith("/v2/")


def _answer(status: int, code: str, detail: str, headers: dict[str, str]) -> ProblemResponse:
    title = code.replace("_", " ").capitalize()
    problem = Problem(type=f"urn:mimi:problem:{code}", title=title, status=status, detail=detail or title, code=code)
    return ProblemResponse(status, problem, {**_HEADERS.get(status, {}), **headers})


_HEADERS: Mapping[int, dict[str, str]] = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}


def _code(name: str) -> str:
    """snake_case of a class name."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _detail(error: Exception) -> str:
    if isinstance(error, RequestValidationError):
        return "; ".join(sorted({_explain(item["type"], item["loc"], item["msg"]) for item in error.errors()}))
    if isinstance(error, AdaptersStoreError):  # its messages may show a piece of the file, or a path
        return ". ".join([error.title.removesuffix("."), *_notes(error)])
    return ". ".join([str(error), *_notes(error)])


def _notes(error: Exception) -> list[str]:
    return list(getattr(error, "__notes__", []))


def _explain(kind: str, where: tuple[int | str, ...], what: str) -> str:
    """One validation error; the name of an unknown parameter is the client's own text and is not repeated."""
    if kind == "extra_forbidden":
        return f"{where[0]}: there is a parameter that this route does not take"
    return f"{'.'.join(map(str, where))}: {what}"
