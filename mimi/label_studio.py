"""Label Studio's ML-backend protocol in front of a server: pre-annotations from a task, annotations as corrections.

    GET  /health, /       alive
    POST /setup           which model answers for a labelling configuration
    POST /predict         a prediction for each labelling task
    POST /webhook         an annotation becomes a correction of the server's task

It is a client of the server, in a process of its own. Images come from Label Studio's address, from origins that the
operator names, or inside the request; nothing else is fetched. Label Studio has no bearer keys: it sends a password by
HTTP Basic, or nothing.
"""

import base64
import binascii
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

import httpx2 as httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from adapters_store.errors import ArtifactError
from adapters_store.strict_json import parse_object
from service.client import AsyncClient
from service.client.calls import Call
from service.client.errors import ClientError
from service.schemas import ImageResult

logger = logging.getLogger(__name__)

MOST_BODY = 64 * 2**20  # bytes of a request
MOST_IMAGE = 20 * 2**20  # bytes of an image
MOST_TASKS = 1000  # of one request; Label Studio sends a page at a time
DEEPEST = 32  # levels of a body
CORRECTING = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED")
_DATA = "data:"


class LabelStudioError(Exception):
    """A request that cannot be answered; the text says why."""


@dataclass(frozen=True, slots=True)
class Control:
    """The choices of a labelling configuration, and where their image is."""

    name: str
    image: str  # the name of the image's tag
    key: str  # of the image in a task's data
    choices: frozenset[str]

    def result(self, labels: Sequence[str], score: float) -> dict[str, object]:
        """One region of a prediction, in Label Studio's format."""
        value = {"choices": list(labels)}
        return {"from_name": self.name, "to_name": self.image, "type": "choices", "value": value, "score": score}

    def labels(self, results: Sequence[Mapping[str, Any]]) -> list[str]:
        """The choices of an annotation."""
        own = (each for each in results if each.get("from_name") == self.name and each.get("type") == "choices")
        return [str(label) for each in own for label in each["value"]["choices"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """The task that answers, and the places that images may come from.

    Attributes:
        client: of the server, with a key that may predict.
        correcting: of the server, with a key for corrections; the same where one key opens both.
        task: that answers.
        studio: Label Studio's address; none: images come inside the requests, or from `origins`.
        token: of Label Studio's API, sent to its address alone.
        origins: other places of images, such as https://bucket.example.
        password: that Label Studio must send with HTTP Basic; none: anyone may ask.
    """

    client: AsyncClient
    correcting: AsyncClient
    task: str
    studio: str | None = None
    token: str | None = None
    origins: tuple[str, ...] = ()
    password: str | None = None
    web: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=30.0))

    async def version(self) -> str:
        """The name of the model that answers now."""
        detail = await self.client.task(self.task)
        return f"{self.task} {detail.version}"

    async def predictions(self, tasks: Sequence[Mapping[str, Any]], config: str) -> list[dict[str, object]]:
        """A prediction for each labelling task, in order; one without a result where an image cannot be had.

        An image that is unknown to the task has the score 0, so that Label Studio shows it first.
        """
        control = control_of(config)
        if len(tasks) > MOST_TASKS:
            raise LabelStudioError(f"more than {MOST_TASKS} labelling tasks")
        return [await self._prediction(each, control) for each in tasks]

    async def _prediction(self, task: Mapping[str, Any], control: Control) -> dict[str, object]:
        try:
            answer = await self.client.predict(self.task, await self.image(task, control), top_k=10_000)
        except (LabelStudioError, ClientError) as error:
            logger.warning("labelling task %s has no prediction: %s", task.get("id"), error)
            return {"result": [], "score": 0.0, "model_version": self.task}
        (result,) = answer.results
        labels, score = chosen(result, control.choices)
        region = [control.result(labels, score)] if labels else []
        known = result.known is not False
        return {"result": region, "score": score * known, "model_version": f"{self.task} {answer.version}"}

    async def correct(self, event: Mapping[str, Any]) -> list[str]:
        """Send an annotation to the server as a correction; the labels, or nothing for one that was cancelled."""
        annotation, control = event["annotation"], control_of(event["project"]["label_config"])
        labels = control.labels(annotation["result"])
        if annotation.get("was_cancelled") or not labels:
            return []
        form = httpx.Request(
            "POST", "http://form", files={"image": await self.image(event["task"], control)}, data={"label": labels}
        )
        headers = {"Content-Type": form.headers["Content-Type"]}
        path = f"/v1/tasks/{self.task}/feedback"
        await self.correcting.send(Call("POST", path, lambda reply: None, headers=headers, content=form.read()))
        return labels

    async def image(self, task: Mapping[str, Any], control: Control) -> bytes:
        """The image of a labelling task.

        Raises:
            LabelStudioError: it is from elsewhere, too large, or cannot be had.
        """
        place = str(task.get("data", {}).get(control.key) or "")
        if place.startswith(_DATA):
            return _inline(place)
        url = urljoin(f"{self.studio}/", place) if self.studio else place
        own = self.studio is not None and _origin(url) == _origin(self.studio)
        if not own and _origin(url) not in map(_origin, self.origins):
            raise LabelStudioError("its image is not in Label Studio: name its origin with --images-from")
        headers = {"Authorization": f"Token {self.token}"} if own and self.token else {}
        try:
            return await self._fetched(url, headers)
        except httpx.HTTPError as error:
            raise LabelStudioError(f"its image cannot be had: {type(error).__name__}") from error

    async def _fetched(self, url: str, headers: Mapping[str, str]) -> bytes:
        async with self.web.stream("GET", url, headers=headers) as response:
            if response.status_code != httpx.codes.OK:
                raise LabelStudioError(f"its image cannot be had: status {response.status_code}")
            found = bytearray()
            async for part in response.aiter_bytes():
                found += part
                if len(found) > MOST_IMAGE:
                    raise LabelStudioError(f"its image has more than {MOST_IMAGE:,} bytes")
        return bytes(found)


def control_of(config: str) -> Control:
    """The first choices over an image in a labelling configuration.

    Raises:
        LabelStudioError: it is no XML, declares entities, or has no such choices.
    """
    try:
        root = ElementTree.fromstring("<x/>" if "<!" in config else config)
    except ElementTree.ParseError as error:
        raise LabelStudioError(f"the labelling configuration is no XML: {error}") from error
    images = {tag.get("name", ""): tag.get("value", "") for tag in root.iter("Image")}
    for tag in root.iter("Choices"):
        target = tag.get("toName", "")
        if images.get(target, "").startswith("$"):
            values = frozenset(choice.get("alias") or choice.get("value") or "" for choice in tag.iter("Choice"))
            return Control(tag.get("name", ""), target, images[target][1:], values)
    raise LabelStudioError('the labelling configuration has no <Choices> over an <Image value="$…">')


def chosen(result: ImageResult, choices: frozenset[str]) -> tuple[list[str], float]:
    """The labels to offer and their score: those that the task gives; else the most probable one of `choices`."""
    offered = [each for each in result.predictions or () if each.label in choices]
    if not offered:
        return [], 0.0
    given = [each for each in offered if each.label in (result.labels or ())] or offered[:1]
    return [each.label for each in given], min(each.probability for each in given)


def application(bridge: Bridge) -> Starlette:
    """The protocol as an application."""

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "UP", "model_class": bridge.task})

    async def setup(request: Request) -> Response:
        control_of(str((await _body(request)).get("schema", "")))
        return JSONResponse({"model_version": await bridge.version()})

    async def predict(request: Request) -> Response:
        body = await _body(request)
        found = await bridge.predictions(body.get("tasks", []), str(body.get("label_config", "")))
        return JSONResponse({"results": found})

    async def webhook(request: Request) -> Response:
        event = await _body(request)
        if event.get("action") not in CORRECTING:
            return JSONResponse({"status": "Unknown event"})
        return JSONResponse({"status": "ok", "result": {"labels": await bridge.correct(event)}}, 201)

    calls = {"/setup": setup, "/predict": predict, "/webhook": webhook}
    routes = [Route(path, _checked(bridge, call), methods=["POST"]) for path, call in calls.items()]
    return Starlette(routes=[*routes, *_alive(health)], lifespan=_closing(bridge))


def _alive(health: Callable[[Request], Awaitable[Response]]) -> Iterator[Route]:
    yield from (Route(path, health, methods=["GET"]) for path in ("/", "/health"))


def _closing(bridge: Bridge) -> Callable[[Starlette], Any]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> Any:  # noqa: ANN401 - a generator of nothing
        async with bridge.web, bridge.client, bridge.correcting:
            yield

    return lifespan


def _checked(
    bridge: Bridge, call: Callable[[Request], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    """The call behind the password; errors become answers that Label Studio shows."""

    async def checked(request: Request) -> Response:
        if bridge.password and not _presents(request, bridge.password):
            return JSONResponse({"error": "wrong password"}, 401, {"WWW-Authenticate": "Basic"})
        try:
            return await call(request)
        except (LabelStudioError, KeyError, TypeError, AttributeError) as error:
            return JSONResponse({"error": f"this request cannot be read: {error}"}, 400)
        except ClientError as error:
            logger.warning("%s: %s", request.url.path, error)
            return JSONResponse({"error": str(error)}, 502)

    return checked


def _presents(request: Request, password: str) -> bool:
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    try:
        sent = base64.b64decode(text, validate=True).partition(b":")[2]
    except binascii.Error:
        return False
    return kind.lower() == "basic" and secrets.compare_digest(sent, password.encode())


async def _body(request: Request) -> dict[str, Any]:
    """The object in the body.

    Raises:
        LabelStudioError: it is too large, or no JSON object.
    """
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MOST_BODY:
            raise LabelStudioError(f"more than {MOST_BODY:,} bytes")
    try:
        return parse_object(data.decode(), max_depth=DEEPEST)
    except (UnicodeDecodeError, ArtifactError) as error:
        raise LabelStudioError("no JSON object that all parsers read alike") from error


def _inline(place: str) -> bytes:
    head, _, text = place.partition(",")
    try:
        return base64.b64decode(text if head.endswith(";base64") else "", validate=True)
    except binascii.Error as error:
        raise LabelStudioError("its image is no base64") from error


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
