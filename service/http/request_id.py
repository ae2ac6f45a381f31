"""Every answer names its request: the client's own X-Request-Id where it sent a usable one, else one made here.

Pure ASGI, outside of everything else, so that refusals carry it as well.
"""

import random
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = b"x-request-id"
_USABLE = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")  # nothing that could break a header or a log line


class RequestIdMiddleware:
    """Adds the header to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; its answer carries its name."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = request_id(scope["headers"])

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), (HEADER, name)]}
            await send(message)

        await self._app(scope, receive, named)


def request_id(headers: list[tuple[bytes, bytes]]) -> bytes:
    """The client's name for the request if it sent exactly one, of 1 to 128 harmless characters; else a new one."""
    sent = [value for name, value in headers if name == HEADER]
    if len(sent) == 1 and _USABLE.fullmatch(sent[0]):
        return sent[0]
    return b"%032x" % random.getrandbits(128)  # a name, not a secret: no call into the kernel for each
