"""The demo's client of a server: the project's own client, with plain documents and this package's errors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from mimi.errors import ServerRefused, ServerUnreachable
from service.client import Client as ServiceClient
from service.client import ClientError, Refused

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of one task to one image."""

    task: str
    version: int
    sha256: str
    labels: tuple[str, ...]  # most probable first
    probability: float  # of the first
    gflops_spent: float
    gflops_saved: float


class Client:
    """A connection to one server; safe for several threads, and closed at the end of its `with`.

    Raises:
        ServerUnreachable: the address is not valid, or no server answers there.
        ServerRefused: the server answered with an error.
    """

    def __init__(self, url: str) -> None:
        with _in_our_words():
            self._client = ServiceClient(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def ready(self) -> bool:
        """Whether the server takes work now."""
        return self._client.ready()

    def tasks(self) -> list[Document]:
        """All published tasks, one document each."""
        with _in_our_words():
            return [entry.model_dump() for entry in self._client.tasks().tasks]

    def task(self, name: str) -> Document:
        """Everything that the server says about one task."""
        with _in_our_words():
            return self._client.task(name).model_dump()

    def publish(self, task: str, artifact: bytes) -> Document:
        """Upload a task adapter file with its checksum; it is live when this returns."""
        with _in_our_words():
            return self._client.upload(task, artifact).model_dump()

    def predict(self, task: str, image: bytes) -> Answer:
        """The answer of one task to one encoded image."""
        with _in_our_words():
            said = self._client.predict(task, image)
        (result,) = said.results
        predictions = result.predictions or []
        return Answer(
            task=said.task,
            version=said.version,
            sha256=said.sha256,
            labels=tuple(each.label for each in predictions),
            probability=predictions[0].probability,
            gflops_spent=result.gflops_spent,
            gflops_saved=result.gflops_saved,
        )


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Turn the client's errors into errors of the command line."""
    try:
        yield
    except Refused as error:
        raise ServerRefused(str(error)) from error
    except ClientError as error:
        raise ServerUnreachable(str(error)) from error
