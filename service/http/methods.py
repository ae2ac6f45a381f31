"""The methods of a path: HEAD for every GET, OPTIONS everywhere, and `Allow` with all methods.

The router knows the methods of each route, but several routes share a path. Here they are combined.
"""

from fastapi import FastAPI
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_WHOLE_SERVER = "*"  # the target of a request that is about no path (RFC 9110, section 9.3.7)


def allowed(api: FastAPI, scope: Scope) -> list[str]:
    """The methods that the path of a request takes; empty if there is no such path."""
    if scope["path"] == _WHOLE_SERVER:
        return list(_METHODS)
    own = {method for method in _METHODS if _answers(api, {**scope, "method": method})}
    if own:
        own |= {"OPTIONS"} | ({"HEAD"} if "GET" in own else set())
    return [method for method in _METHODS if method in own]


def _answers(api: FastAPI, scope: Scope) -> bool:
    """Whether a route takes a request as it is."""
    return any(route.matches(scope)[0] is Match.FULL for route in api.router.routes)


class MethodsMiddleware:
    """Answers HEAD like GET (uvicorn leaves out the body), and OPTIONS with the methods of the path.

    OPTIONS reveals no more than the OpenAPI document, so it needs no key.
    """

    def __init__(self, app: ASGIApp, *, api: FastAPI) -> None:
        """`api` has the routes; `app` is the next layer."""
        self._app, self._api = app, api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here."""
        method = scope["method"] if scope["type"] == "http" else ""
        if method == "HEAD" and not _answers(self._api, scope):
            scope = {**scope, "method": "GET"}
        elif method == "OPTIONS" and (methods := allowed(self._api, scope)):
            await Response(status_code=204, headers={"Allow": ", ".join(methods)})(scope, receive, send)
            return
        await self._app(scope, receive, send)
