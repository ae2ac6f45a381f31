"""The blocking client: sends calls over connections that it keeps."""

import copy
import dataclasses
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

import httpx2 as httpx

from service.client import predict_calls, task_calls, version_calls, wire
from service.client.calls import Call, Reply, described
from service.client.errors import ClientError
from service.client.retries import Attempts, RetryPolicy
from service.schemas import TaskList, VersionList

P = ParamSpec("P")
T = TypeVar("T")


def _sent(build: Callable[P, Call[T]]) -> Callable[Concatenate["Client", P], T]:
    """A method that builds a call and sends it."""

    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.send(build(*args, **kwargs))

    described(method, build)
    return method


class Client:
    """Connections to one server; safe for several threads, closed on leaving its `with`.

    Every method raises ClientError: see `service.client.errors`.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        tls: ssl.SSLContext | None = None,
        policy: RetryPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connects to nothing yet.

        Args:
            url: the server's address.
            key: the caller's key; None: the server needs none.
            tls: the trusted authorities for HTTPS, from `trusting`; None: SSL_CERT_FILE, or those of the HTTP library.
            policy: the limits of a call's time and attempts.
            transport: carries requests; None: the network.
            sleep: is called with the seconds to wait between attempts.

        Raises:
            InvalidArgument: the address or the key is malformed.
        """
        self._policy, self._sleep = policy or RetryPolicy(), sleep
        self._headers: Mapping[str, str] = {}  # of every call
        self._http = httpx.Client(transport=transport, **wire.options(url, key, tls))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections, those of every client made with `within` as well."""
        self._http.close()

    def within(self, seconds: float) -> Self:
        """A client over the same connections whose calls have this many seconds.

        Raises:
            InvalidArgument: the number is not positive.
        """
        other = copy.copy(self)
        other._policy = dataclasses.replace(self._policy, seconds=seconds)
        return other

    def sticking_to(self, key: str) -> Self:
        """The same client over the same connections, whose predictions get one version of a canary for this key."""
        other = copy.copy(self)
        other._headers = {"X-Canary-Key": key}
        return other

    def send(self, call: Call[T]) -> T:
        """Send a call, and repeat it if that is safe and may help.

        Raises:
            ClientError: of the last attempt.
        """
        call = dataclasses.replace(call, headers={**self._headers, **call.headers})
        attempts = Attempts(call, self._policy)
        while True:
            attempts.begin()
            try:
                return call.answer(self._exchange(call, attempts))
            except ClientError as error:
                self._sleep(attempts.wait_after(error))

    def _exchange(self, call: Call[object], attempts: Attempts) -> Reply:
        with wire.translated(call, self._http, attempts):
            request = wire.request_of(call, self._http, attempts)
            with closing(self._http.send(request, stream=True)) as response:
                body = bytearray()
                for piece in response.iter_bytes():
                    body += piece
                    attempts.left()  # each piece may take as long as there was at first; all together may not
                return wire.reply_of(response, bytes(body))

    def live(self) -> bool:
        """Whether the process answers."""
        return self._whether(task_calls.live())

    def ready(self) -> bool:
        """Whether the server takes work now."""
        return self._whether(task_calls.ready())

    def tasks(self, *, prefix: str = "") -> TaskList:
        """All published tasks whose id begins so, page by page; each page has the time of a call."""
        page = self.task_page(prefix=prefix)
        found = page.tasks
        while page.next is not None:
            page = self.task_page(prefix=prefix, cursor=page.next)
            found = [*found, *page.tasks]
        return page.model_copy(update={"tasks": found})

    def versions(self, task: str) -> VersionList:
        """All versions of a task, newest first, page by page; raises InvalidArgument where this is no task id."""
        page = self.version_page(task)
        found = page.versions
        while page.next is not None:
            page = self.version_page(task, cursor=page.next)
            found = [*found, *page.versions]
        return page.model_copy(update={"versions": found})

    def _whether(self, call: Call[object]) -> bool:
        try:
            self.send(call)
        except ClientError:
            return False
        return True

    predict = _sent(predict_calls.predict)
    predict_many = _sent(predict_calls.predict_many)
    task_page = _sent(task_calls.task_page)
    task = _sent(task_calls.task)
    upload = _sent(task_calls.upload)
    add_class = _sent(task_calls.add_class)
    describe = _sent(task_calls.describe)
    delete_task = _sent(task_calls.delete_task)
    version_page = _sent(version_calls.version_page)
    version = _sent(version_calls.version)
    download = _sent(version_calls.download)
    delete_version = _sent(version_calls.delete_version)
    aliases = _sent(version_calls.aliases)
    alias = _sent(version_calls.alias)
    set_alias = _sent(version_calls.set_alias)
    delete_alias = _sent(version_calls.delete_alias)
    rollback = _sent(version_calls.rollback)
