"""The console and the reference of the API: static files, read once. They need no key; their calls of the API do.

A page loads nothing from elsewhere and runs no inline script: `_POLICY` says so to browsers.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from service.tasks.conditions import fresh

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain; charset=utf-8",
    ".json": "application/json",
}
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",  # asked for again each time, and answered with 304: a new release shows at once
}


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    kind: str
    tag: str


def console_routes() -> APIRouter:
    """The pages `/` and `/docs`, and their files below `/console/`."""
    found = dict(_read(files("service") / "console"))
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/", _page(found, "index.html"))
    router.add_api_route("/docs", _page(found, "docs.html"))
    router.add_api_route("/console/{name:path}", _part(found))
    return router


def _page(found: Mapping[str, _File], name: str) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        return _answer(found, name, request)

    return page


def _part(found: Mapping[str, _File]) -> Callable[[str, Request], Awaitable[Response]]:
    async def part(name: str, request: Request) -> Response:
        return _answer(found, name, request)

    return part


def _answer(found: Mapping[str, _File], name: str, request: Request) -> Response:
    """A file, or 304 if the browser has it; 404 for a path that names no file of the console."""
    file = found.get(name)
    if file is None:
        raise HTTPException(404)
    headers = {**_HEADERS, "ETag": file.tag}
    if fresh(request.headers.getlist("if-none-match"), file.tag):
        return Response(status_code=304, headers=headers)
    return Response(file.data, headers=headers, media_type=file.kind)


def _read(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, _File]]:
    """Every file below a folder, by its path with slashes."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read(entry, f"{prefix}{entry.name}/")
        elif (kind := _TYPES.get(entry.name[entry.name.rfind(".") :])) is not None:
            data = entry.read_bytes()
            yield f"{prefix}{entry.name}", _File(data, kind, f'"{sha256(data).hexdigest()}"')
