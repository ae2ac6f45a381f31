"""A call as a request of the HTTP library, and that library's errors as ours: what both clients share of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2 as httpx

from service.client.calls import Call, Reply
from service.client.errors import ClientError, ConnectionFailed, InvalidAnswer, InvalidArgument, NotConnected
from service.client.retries import Attempts

# The server closes a connection that was idle for 5 s; whoever reuses it just then cannot know what became of the call.
_CONNECTIONS = httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=3.0)


def options(url: str, key: str | None) -> Mapping[str, Any]:
    """Arguments for the HTTP library's own client.

    Raises:
        InvalidArgument: the address or the key is none.
    """
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidArgument(f"this is no address of a server ({error})") from error
    host = address.host if "%" not in address.host else ""  # what no host name has, the library escapes
    if address.scheme not in ("http", "https") or not host or address.userinfo or address.query or address.fragment:
        raise InvalidArgument("give the address of a server, such as http://127.0.0.1:8000, and no user or query in it")
    if key is not None and not (key.isascii() and key.isprintable() and key.strip() == key != ""):
        raise InvalidArgument("a key has visible ASCII characters only")  # and is not repeated here
    return {
        "base_url": address,
        "headers": {} if key is None else {"Authorization": f"Bearer {key}"},
        "limits": _CONNECTIONS,
        # Proxies of the environment are for the world outside; a server named here is meant literally.
        "trust_env": False,
    }


def request_of(call: Call[object], http: httpx.Client | httpx.AsyncClient, attempts: Attempts) -> httpx.Request:
    """The request, with the time that is left for it.

    Raises:
        DeadlineExceeded: there is none.
    """
    timeout = httpx.Timeout(attempts.left(), connect=attempts.connect())
    return http.build_request(
        call.method,
        call.path,
        params=list(call.query) or None,
        headers={"X-Request-Id": attempts.request_id, **call.headers},
        content=call.content,
        files=[("image", (f"{index}", image)) for index, image in enumerate(call.images)] or None,
        timeout=timeout,
    )


def reply_of(response: httpx.Response, body: bytes) -> Reply:
    """The answer, of which `body` has been read."""
    return Reply(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)


@contextmanager
def translated(call: Call[object], http: httpx.Client | httpx.AsyncClient, attempts: Attempts) -> Iterator[None]:
    """Inside, the HTTP library's errors become ours."""
    try:
        yield
    except (httpx.HTTPError, TimeoutError) as error:
        raise _ours(error, f"{call}: {http.base_url}", attempts) from error


def _ours(error: Exception, where: str, attempts: Attempts) -> ClientError:
    said = str(error) or type(error).__name__
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return NotConnected(f"{where} cannot be reached ({said})")
        case httpx.TimeoutException() | TimeoutError():  # each got all the time that was left
            return attempts.late()
        case httpx.LocalProtocolError():
            return InvalidArgument(f"{where}: this cannot be sent ({said})")
        case httpx.DecodingError():
            return InvalidAnswer(f"{where}: the answer cannot be read ({said})")
        case _:
            return ConnectionFailed(f"{where} gave no answer ({said})")
