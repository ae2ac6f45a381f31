"""Errors of the client.

ClientError
├── InvalidArgument           an argument is not valid for this API; nothing was sent
├── ConnectionFailed          the connection broke; the server may have done what was asked
│   └── NotConnected          there was no connection; the server has seen nothing
├── DeadlineExceeded          no answer within the call's time; the server may have done what was asked
├── InvalidAnswer             the answer is not one of this API
└── Refused                   the server said no, and why
    ├── InvalidRequest        400, 408, 413, 415, 421, 422, 431 and every other 4xx: change the request
    ├── Unauthorized          401: no key, or an unknown one
    ├── Forbidden             403: the key may not do this
    ├── NotFound              404: no such task, version or alias
    ├── Conflict              409, 412: somebody was faster, or something still points at it
    ├── TooManyRequests       429: the key has used up what it may
    └── ServerError           500, 502, 507 and every other 5xx
        ├── Overloaded        503: try again later
        └── ServerDeadlineExceeded    504: a DeadlineExceeded as well
"""

from service.schemas import Problem


class ClientError(Exception):
    """Base of every error of the client.

    Attributes:
        request_id: what the server's log calls the request; empty if none was made.
        attempts: how often it was sent. After more than one, a Conflict or NotFound of a change may be the echo of an
            earlier attempt whose answer was lost.
    """

    request_id = ""
    attempts = 0


class InvalidArgument(ClientError, ValueError):
    """An argument is not valid for this API; nothing was sent."""


class ConnectionFailed(ClientError):
    """The connection broke before the answer was complete."""


class NotConnected(ConnectionFailed):
    """No connection could be opened, so the server has not seen the request."""


class DeadlineExceeded(ClientError):
    """The call's time was over before its answer was there."""


class InvalidAnswer(ClientError):
    """The answer is not one of this API: another kind of server sent it, or it was damaged on its way."""


class Refused(ClientError):
    """The server answered with an error.

    Attributes:
        problem: the error body: type, title, status, detail and the stable code.
        retry_after: seconds that the server asks to wait; None if it names no time.
    """

    problem: Problem
    retry_after: float | None = None


class InvalidRequest(Refused):
    """The request itself is not acceptable."""


class Unauthorized(Refused):
    """The server needs a key, and does not know this one."""


class Forbidden(Refused):
    """The key may not do this."""


class NotFound(Refused):
    """There is no such task, version or alias."""


class Conflict(Refused):
    """The state of the task does not allow it, or has moved on since it was read."""


class TooManyRequests(Refused):
    """The key has used up its limit for now."""


class ServerError(Refused):
    """The server, or something in front of it, failed."""


class Overloaded(ServerError):
    """The server, or this task on it, takes no work for now."""


class ServerDeadlineExceeded(ServerError, DeadlineExceeded):
    """The server gave up before it had the answer."""
