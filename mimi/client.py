"""The server's API from outside, over HTTP: what `mimi publish` and the demo need of it.

Knows routes and answers, no other package of this project, so that it sees only what any client sees.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import TracebackType
from typing import Any, Self

import httpx2 as httpx

from mimi.errors import ServerRefused, ServerUnreachable

TIMEOUT = 60.0  # seconds; an upload is recomputed before it is answered
CONNECTIONS = 16

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a prediction came back with, for one image."""

    task: str
    version: int
    sha256: str
    labels: tuple[str, ...]  # most probable first
    probability: float  # of the first
    gflops_spent: float
    gflops_saved: float


class Client:
    """A connection to one server; safe for several threads, closed on leaving its `with`."""

    def __init__(self, url: str, *, key: str | None = None) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        # Proxies of the environment are for the world outside; a server named here is meant literally.
        self._http = httpx.Client(
            base_url=url,
            headers=headers,
            timeout=TIMEOUT,
            trust_env=False,
            limits=httpx.Limits(max_connections=CONNECTIONS),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def ready(self) -> bool:
        """Whether the server takes work now."""
        try:
            return self._http.get("/health/ready").is_success
        except httpx.HTTPError:
            return False

    def tasks(self) -> list[Document]:
        """All published tasks, one document each."""
        return list(self._ask("GET", "/v1/tasks")["tasks"])

    def task(self, name: str) -> Document:
        """All there is to know about one task."""
        return self._ask("GET", f"/v1/tasks/{name}")

    def publish(self, task: str, artifact: bytes, *, activate: bool = True, dry_run: bool = False) -> Document:
        """Upload a task adapter file under its checksum; it is live when this returns.

        Args:
            task: its id.
            artifact: the bytes of the file.
            activate: whether the live alias shall point at it.
            dry_run: have everything checked, and nothing published.
        """
        chosen = [text for text, wanted in (("activate=false", not activate), ("dry_run=true", dry_run)) if wanted]
        query = "?" + "&".join(chosen) if chosen else ""
        return self._ask("PUT", f"/v1/tasks/{task}{query}", content=artifact, kind="application/octet-stream")

    def predict(self, task: str, image: bytes, *, kind: str = "image/png") -> Answer:
        """The answer of one task to one encoded image."""
        document = self._ask("POST", f"/v1/tasks/{task}/predict", content=image, kind=kind)
        result = document["results"][0]
        predictions = result["predictions"]
        return Answer(
            task=document["task"],
            version=document["version"],
            sha256=document["sha256"],
            labels=tuple(each["label"] for each in predictions),
            probability=predictions[0]["probability"],
            gflops_spent=result["gflops_spent"],
            gflops_saved=result["gflops_saved"],
        )

    def _ask(self, method: str, path: str, *, content: bytes | None = None, kind: str | None = None) -> Document:
        headers = {} if kind is None else {"Content-Type": kind}
        if content is not None:
            headers["Content-Digest"] = f"sha-256=:{b64encode(sha256(content).digest()).decode()}:"
        try:
            response = self._http.request(method, path, content=content, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServerUnreachable(f"{self._http.base_url}: no answer ({error})") from error
        if not response.is_success:
            raise ServerRefused(f"{method} {path}: {response.status_code}, {_reason(response)}")
        document: Document = response.json()
        return document


def _reason(response: httpx.Response) -> str:
    """The server's own words, where it gave any."""
    try:
        document = response.json()
        return f"{document['code']}: {document['detail']}"
    except (ValueError, KeyError, TypeError):
        return response.reason_phrase
