"""Decides which web pages may call this server: the Host header stops DNS rebinding, the Origin header other sites.

A page of any site can make a browser send requests to loopback. If the page uses a name, the Host header carries the
foreign name (DNS rebinding) and is refused. If it uses the address, its Origin header is foreign and is refused, unless
keys protect the server or CORS allows the page.

This layer also handles targets in absolute form, so that the layers inside need not.
"""

import re
from collections.abc import Callable, Sequence
from urllib.parse import unquote

from starlette.datastructures import Headers as RequestHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.keys import bearer
from service.errors import AccessError, ForeignOrigin, MisdirectedRequest
from service.http.record import record_of
from service.problems import response_to
from service.settings import ANY_HOST, Settings, is_loopback

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]/@?#\s]+)(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]+)(/[^?#]*)?", re.IGNORECASE)
_SAFE = {"GET", "HEAD", "OPTIONS"}  # change nothing; what they answer, a page of another site cannot read
_HEALTH = ("/health/", "/v2/health/")  # for probes, which ask by address; it tells nothing
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_SENT = ("Authorization", "Content-Type", "If-Match", "If-None-Match", "Repr-Digest", "Content-Digest", "Digest",
         "X-Canary-By", "X-Canary-Key", "X-Request-Id", "Inference-Header-Content-Length")  # fmt: skip
_SHOWN = ("ETag", "Link", "Location", "Repr-Digest", "Retry-After", "X-Request-Id", "X-Store-Generation",
          "Inference-Header-Content-Length")  # fmt: skip

Headers = Sequence[tuple[bytes, bytes]]


class OriginsMiddleware:
    """Refuses what is meant for another server, or comes from a foreign page."""

    def __init__(self, app: ASGIApp, *, settings: Settings, also: Callable[[Scope], None] = lambda scope: None) -> None:
        """`also` may raise AccessError for further reasons."""
        self._app, self._settings, self._also = app, settings, also

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here."""
        try:
            if scope["type"] == "http":
                check(scope["method"], scope["path"], scope["headers"], self._settings)
                self._also(scope)
        except AccessError as error:
            record_of(scope).error = error
            await response_to(error, scope["path"])(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class SharedAnswers(CORSMiddleware):
    """Outside of the limits: lets allowed pages read every answer, refusals included."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and mark its answer; a preflight is answered, and marked, inside."""
        if scope["type"] != "http" or _is_preflight(scope):
            await self.app(scope, receive, send)
        else:
            await self.simple_response(scope, receive, send, request_headers=RequestHeaders(scope=scope))


class Preflights(CORSMiddleware):
    """Inside of the limits: answers a browser's preflight requests."""

    async def simple_response(
        self, scope: Scope, receive: Receive, send: Send, request_headers: RequestHeaders
    ) -> None:
        """Pass every other request on; its answer is marked outside."""
        await self.app(scope, receive, send)


def with_cors(kind: type[CORSMiddleware], app: ASGIApp, settings: Settings) -> ASGIApp:
    """The application inside one of the layers above; unchanged if no foreign pages may call."""
    if not settings.cors_origins:
        return app
    return kind(
        app,
        allow_origins=settings.cors_origins,
        allow_methods=_METHODS,
        allow_headers=_SENT,
        allow_private_network=True,  # a page that may call may do so from another network, too
        expose_headers=_SHOWN,
    )


def _is_preflight(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" and _value(scope["headers"], b"access-control-request-method") is not None


class TargetMiddleware:
    """Brings a request's target into its usual form before any other layer reads it.

    A target in absolute form, as to a proxy, names the host instead of the Host header (RFC 9112, section 3.2.2).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        found = _ABSOLUTE.fullmatch(scope["raw_path"]) if scope["type"] == "http" else None
        if found:
            rest = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope["headers"] = [(b"host", found[1]), *rest]
            scope["raw_path"] = found[2] or b"/"
            scope["path"] = unquote(scope["raw_path"].decode("ascii"))
        await self._app(scope, receive, send)


def sender_of(scope: Scope) -> tuple[str | None, str | None]:
    """Where a request comes from, and its bearer token; None for what there is not."""
    client = scope.get("client")
    return client[0] if client else None, bearer(_value(scope["headers"], b"authorization"))


def check(method: str, path: str, headers: Headers, settings: Settings) -> None:
    """Judge a request by its Host and its Origin.

    Raises:
        MisdirectedRequest: its Host names another server. Requests for health may name any.
        ForeignOrigin: a page of another site would change something, and no key is needed.
    """
    host, origin = _value(headers, b"host"), _value(headers, b"origin")
    if host is not None and not path.startswith(_HEALTH) and not is_ours(host, settings):
        raise MisdirectedRequest("this server does not go by that name: see allowed_hosts")
    if origin is None or method in _SAFE or settings.needs_key or origin in settings.cors_origins:
        return
    if host is None or origin.partition("://")[2] != host:
        raise ForeignOrigin("web pages of other sites may not ask: see cors_origins")


def is_ours(host: str, settings: Settings) -> bool:
    """Whether a Host header names this server; beyond loopback every name does, unless some are listed."""
    if ANY_HOST in settings.allowed_hosts or not (settings.allowed_hosts or is_loopback(settings.host)):
        return True
    name = name_in(host)
    if name is None:
        return False
    bare = name.removeprefix("[").removesuffix("]")
    return name in settings.allowed_hosts or bare == settings.host.lower() or is_loopback(bare)


def name_in(host: str) -> str | None:
    """The name or address in a Host header, in lower case, without port and final dot; None if there is none."""
    found = _HOST.fullmatch(host.lower())
    return found[1].removesuffix(".") or None if found else None


def _value(headers: Headers, wanted: bytes) -> str | None:
    return next((value.decode("latin-1") for name, value in headers if name == wanted), None)
