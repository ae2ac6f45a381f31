"""A call as a value: what to send, whether it may be sent again, and how its reply is read. Knows no HTTP library."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import Enum
from http import HTTPStatus
from http.client import responses
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from service.client import errors
from service.schemas import Problem

T_co = TypeVar("T_co", covariant=True)
Shape = TypeVar("Shape", bound=BaseModel)

_KINDS: Mapping[int, type[errors.Refused]] = {
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    412: errors.Conflict,
    429: errors.TooManyRequests,
    503: errors.Overloaded,
    504: errors.ServerDeadlineExceeded,
}


class Repeat(Enum):
    """Whether, and after which failures, a call may be sent again."""

    ALWAYS = "twice is as good as once"
    UNDONE = "only if the server has certainly done nothing"
    NEVER = "the first outcome is what was asked for"


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer: status, headers by lower-case name, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One request to the server.

    Attributes:
        method: of HTTP.
        path: below the server's address.
        read: makes the caller's value from a successful reply; raises InvalidAnswer.
        query: names and values; a name may come several times.
        headers: beyond those of every request.
        content: the body; None: none.
        images: encoded images, sent as a form instead of `content`.
        repeat: when the call may be sent again.
    """

    method: str
    path: str
    read: Callable[[Reply], T_co]
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    images: tuple[bytes, ...] = ()
    repeat: Repeat = Repeat.ALWAYS

    def __str__(self) -> str:
        """The call for people, without its contents."""
        return f"{self.method} {self.path}"

    def answer(self, reply: Reply) -> T_co:
        """The value that the caller gets.

        Raises:
            Refused: the server said no.
            InvalidAnswer: the reply is not one of this API.
        """
        if reply.status in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT):
            try:
                return self.read(reply)
            except errors.InvalidAnswer as wrong:
                raise errors.InvalidAnswer(f"{self}: {wrong}") from wrong
        if reply.status < HTTPStatus.BAD_REQUEST:
            raise errors.InvalidAnswer(f"{self}: {reply.status}, which this API does not answer")
        problem = _problem(reply)
        others = errors.InvalidRequest if reply.status < HTTPStatus.INTERNAL_SERVER_ERROR else errors.ServerError
        error = _KINDS.get(reply.status, others)(f"{self}: {reply.status}, {problem.code}: {problem.detail}")
        error.problem, error.retry_after = problem, retry_after(reply.headers)
        raise error


def document(shape: type[Shape]) -> Callable[[Reply], Shape]:
    """Reads a JSON answer. Fields that a newer server adds are ignored."""

    def read(reply: Reply) -> Shape:
        try:
            return shape.model_validate_json(reply.body, extra="ignore")
        except ValidationError as error:
            raise errors.InvalidAnswer(f"this is no {shape.__name__}: {error.error_count()} error(s)") from error

    return read


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that Retry-After asks for; None if it is absent or unreadable.

    A date is measured from the answer's own Date: the clocks of two machines need not agree.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):  # one date without a zone, or no date at all
        return None
    return max(0.0, wait.total_seconds())


def described(method: Callable[..., object], build: Callable[..., "Call[Any]"]) -> None:
    """Give a client's method the name, the text and the signature of the function that builds its call."""
    made = inspect.signature(build)
    client = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    (answer,) = get_args(made.return_annotation)
    method.__doc__, method.__name__, method.__qualname__ = build.__doc__, build.__name__, build.__qualname__
    method.__signature__ = inspect.Signature(  # type: ignore[attr-defined] # what inspect and help() show
        [client, *made.parameters.values()], return_annotation=answer
    )


def _problem(reply: Reply) -> Problem:
    """The error body. If another program answered, it is made from the status."""
    try:
        return Problem.model_validate_json(reply.body, extra="ignore")
    except ValidationError:
        title = responses.get(reply.status, "Error")
        code = title.lower().replace(" ", "_")
        return Problem(type="about:blank", title=title, status=reply.status, detail=title, code=code)
