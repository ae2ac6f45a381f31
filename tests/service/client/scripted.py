"""Servers that answer from a script, and time that passes only when somebody waits, so that no test has to."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx2 as httpx

from service.client import AsyncClient, Client, RetryPolicy

URL = "http://server:8000"
ALIVE = httpx.Response(200, json={"status": "alive"})
TASKS = {"tasks": [], "backbone": "swin", "backbone_fingerprint": "0" * 64}
OK = httpx.Response(200, json=TASKS)

Outcome = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


@dataclass
class Time:
    """Seconds, and every wait that there was."""

    now: float = 1000.0
    waits: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        """Let them pass."""
        self.waits.append(seconds)
        self.now += seconds

    async def sleeping(self, seconds: float) -> None:
        """The same for asyncio."""
        self.sleep(seconds)


class Server:
    """Gives one outcome after the other, the last for ever, and remembers what it was sent."""

    def __init__(self, *outcomes: Outcome) -> None:
        self._outcomes = list(outcomes)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.requests.append(request)
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        if not isinstance(outcome, httpx.Response):
            return outcome(request)
        return httpx.Response(outcome.status_code, headers=outcome.headers, content=outcome.content)


class Blocking:
    """An AsyncClient whose methods wait, so that one test is for both clients."""

    def __init__(self, client: AsyncClient, runner: asyncio.Runner) -> None:
        self._client, self._runner = client, runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """A method of the client."""
        method = getattr(self._client, name)
        return lambda *args, **kwargs: self._runner.run(method(*args, **kwargs))


def policy(time: Time, **changes: Any) -> RetryPolicy:  # noqa: ANN401 - the fields of the policy
    """The longest back-off that jitter can give, on a clock of ours."""
    fields = {"random": lambda: 1.0, "now": lambda: time.now, **changes}
    return RetryPolicy(**fields)


@contextmanager
def client(kind: str, server: Server, time: Time, **changes: Any) -> Iterator[Client]:  # noqa: ANN401
    """A client of a scripted server: "sync" or "async", both to be used in the same way."""
    chosen, transport = policy(time, **changes), httpx.MockTransport(server)
    if kind == "sync":
        with Client(URL, policy=chosen, transport=transport, sleep=time.sleep) as made:
            yield made
    else:
        with blocking(AsyncClient(URL, policy=chosen, transport=transport, sleep=time.sleeping)) as waiting:
            yield waiting


@contextmanager
def blocking(made: AsyncClient) -> Iterator[Client]:
    """An AsyncClient that is used as a Client, and closed at the end."""
    with asyncio.Runner() as runner:
        yield cast(Client, Blocking(made, runner))
        runner.run(made.aclose())


def refusal(status: int, *, code: str = "some_code", headers: Mapping[str, str] | None = None) -> httpx.Response:
    """An error as the server sends it."""
    body = {"type": f"urn:mimi:problem:{code}", "title": "Some code", "status": status, "detail": "why", "code": code}
    kind = {"Content-Type": "application/problem+json"}
    return httpx.Response(status, json=body, headers={**kind, **(headers or {})})
