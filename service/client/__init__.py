"""Clients of the server's REST API: a blocking one, and one for asyncio. They import only the server's schemas.

    inputs          what a caller has -> what is sent: images, files, names
    predict_calls   what can be asked -> a call
    task_calls      what can be published and read of tasks -> a call
    version_calls   what can be done with versions and aliases -> a call
    calls           a call, a reply, and from one to the other's answer
    retries         which attempt comes next, when, and until when
    wire            a call as a request of the HTTP library, and its errors as ours
    sync, asynchronous      carry a call out: all that differs between the two clients

Both clients take their methods from the same functions, so that neither knows an endpoint that the other lacks.
"""

from service.client.asynchronous import AsyncClient
from service.client.errors import (
    ClientError,
    Conflict,
    ConnectionFailed,
    DeadlineExceeded,
    Forbidden,
    InvalidAnswer,
    InvalidArgument,
    InvalidRequest,
    NotConnected,
    NotFound,
    Overloaded,
    Refused,
    ServerDeadlineExceeded,
    ServerError,
    TooManyRequests,
    Unauthorized,
)
from service.client.retries import RetryPolicy
from service.client.sync import Client
from service.client.wire import trusting

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Conflict",
    "ConnectionFailed",
    "DeadlineExceeded",
    "Forbidden",
    "InvalidAnswer",
    "InvalidArgument",
    "InvalidRequest",
    "NotConnected",
    "NotFound",
    "Overloaded",
    "Refused",
    "RetryPolicy",
    "ServerDeadlineExceeded",
    "ServerError",
    "TooManyRequests",
    "Unauthorized",
    "trusting",
]
