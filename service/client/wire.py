"""Converts calls to requests of the HTTP library, and its errors to ours. Both clients use this."""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2 as httpx

from service.client.calls import Call, Reply
from service.client.errors import ClientError, ConnectionFailed, InvalidAnswer, InvalidArgument, NotConnected
from service.client.retries import Attempts

# The server closes a connection that was idle for 5 s; whoever reuses it just then cannot know what became of the call.
_CONNECTIONS = httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=3.0)
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def trusting(
    ca: str | os.PathLike[str] | None = None,
    *,
    certificate: str | os.PathLike[str] | None = None,
    certificate_key: str | os.PathLike[str] | None = None,
) -> ssl.SSLContext:
    """The trusted authorities for HTTPS, and the caller's own certificate.

    Args:
        ca: a PEM file, or a folder hashed by OpenSSL, with the trusted certificate authorities. None: SSL_CERT_FILE or
            SSL_CERT_DIR of the environment, or else the authorities of the system.
        certificate: a file with the caller's own certificate in PEM, for servers that ask for one.
        certificate_key: a file with its private key; None: it lies in the same file.

    Raises:
        InvalidArgument: a file cannot be read, or does not hold what it should.
    """
    folder = ca is not None and os.path.isdir(ca)
    try:
        context = ssl.create_default_context(cafile=None if folder else ca, capath=ca if folder else None)
        if certificate is not None:
            context.load_cert_chain(certificate, certificate_key, password=_no_password)
    except (OSError, ValueError) as error:  # an error of OpenSSL is an OSError, and says nothing of the file's contents
        raise InvalidArgument(f"authorities (ca, SSL_CERT_FILE) or certificate cannot be used ({error})") from error
    return context


def _no_password() -> str:
    """Refuses a password, which OpenSSL would ask for at the terminal."""
    raise ValueError("the private key asks for a password")


def _trusted() -> ssl.SSLContext | bool:
    """The authorities that the environment names; True: those that come with the HTTP library."""
    named = next(filter(None, map(os.environ.get, _AUTHORITIES)), None)
    return trusting(named) if named else True


def options(url: str, key: str | None, tls: ssl.SSLContext | None = None) -> Mapping[str, Any]:
    """Arguments for the HTTP library's own client.

    Raises:
        InvalidArgument: the address or the key is malformed, or the authorities of the environment cannot be read.
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
        "verify": tls or _trusted(),
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
    """A context that turns the HTTP library's errors into ours."""
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
