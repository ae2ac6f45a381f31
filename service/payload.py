"""From a request body to encoded images and options: raw bytes, a multipart form, or JSON with base64.

Knows what a body looks like, not what an image or a task is.
"""

import base64
import binascii
import re
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from adapters_store import ArtifactError
from adapters_store.strict_json import parse_object
from service.errors import BodyTooLarge, InvalidRequest, MalformedJson
from service.multipart import FormLimits, Part, read_form
from service.schemas import PredictJson, PredictOptions

FORM = "multipart/form-data"
JSON = "application/json"

_JSON_DEPTH = 20
_JSON_OUTSIDE_STRINGS = 64 * 1024  # characters: brackets, commas and white space
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)

Offload = Callable[[Callable[[], "Payload"]], Awaitable["Payload"]]


@dataclass(frozen=True, slots=True)
class Payload:
    """Encoded images in their order, and how many labels to name for each (None: not said)."""

    images: tuple[bytes, ...]
    top_k: int | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """A request body before it is read: its declared type, and its bytes as they arrive."""

    content_type: str
    stream: AsyncIterable[bytes]

    @property
    def media_type(self) -> str:
        """The declared type without parameters, in lower case."""
        return self.content_type.partition(";")[0].strip().lower()


async def read_payload(body: Body, *, images: FormLimits, offload: Offload) -> Payload:
    """Read the images of a prediction.

    Args:
        body: a form, JSON, or else one raw image whatever its declared type: the bytes decide.
        images: most images, and most bytes of one.
        offload: runs long parsing off the event loop.

    Raises:
        RequestError: the body is not what it should be.
    """
    if body.media_type == FORM:
        return _from_form(await read_form(body.content_type, body.stream, limits=images), images)
    if body.media_type == JSON:
        text = b"".join([chunk async for chunk in body.stream])
        return await offload(lambda: parse_json(text, most=images.files))
    return Payload((await read_file(body, most_bytes=images.file_bytes),))


async def read_file(body: Body, *, most_bytes: int) -> bytes:
    """Read one file: a form with exactly that, or the raw body.

    Raises:
        RequestError: no file, more than one, or too many bytes.
    """
    if body.media_type == FORM:
        parts = await read_form(body.content_type, body.stream, limits=FormLimits(1, most_bytes))
        if len(parts) != 1 or not parts[0].is_file:
            raise InvalidRequest("send a form with exactly one file, and nothing else")
        return bytes(parts[0].data)
    chunks, size = [], 0
    async for chunk in body.stream:
        size += len(chunk)
        if size > most_bytes:
            raise BodyTooLarge(f"this body has at most {most_bytes} bytes")
        chunks.append(chunk)
    if not size:
        raise InvalidRequest("the body is empty")
    return b"".join(chunks)


def _from_form(parts: list[Part], limits: FormLimits) -> Payload:
    files = tuple(bytes(part.data) for part in parts if part.is_file)
    if not files:
        raise InvalidRequest(f"send 1 to {limits.files} images as file parts of the form")
    fields = [(part.name, part.data.decode("utf-8", "replace")) for part in parts if not part.is_file]
    options = dict(fields)
    if len(options) != len(fields):
        raise InvalidRequest("a form field is given twice")
    return Payload(files, _options(options))


def _options(fields: Mapping[str, str]) -> int | None:
    try:
        return PredictOptions.model_validate(fields).top_k
    except ValidationError:
        raise InvalidRequest("the only form field beside images is top_k, an integer from 1 to 10000") from None


def parse_json(body: bytes, *, most: int) -> Payload:
    """Parse {"images": [base64, …], "top_k": n} with at most `most` images.

    Raises:
        MalformedJson: not JSON that all parsers read alike.
        InvalidRequest: other keys or types, too many images, or not base64.
    """
    text = _judge(body, most)
    try:
        document = PredictJson.model_validate(parse_object(text, max_depth=_JSON_DEPTH))
    except ArtifactError as error:
        raise MalformedJson(type(error).__doc__ or "") from None
    except ValidationError:
        raise InvalidRequest('send {"images": [base64, …], "top_k": n} and nothing else') from None
    if len(document.images) > most:
        raise InvalidRequest(f"at most {most} images in one request")
    return Payload(tuple(_decode(text, index) for index, text in enumerate(document.images)), document.top_k)


def _judge(body: bytes, most: int) -> str:
    """Refuse what would be costly to parse: a legal body has few strings, and little outside of them."""
    if body.count(b'"') > 4 * (most + 8):
        raise InvalidRequest(f"at most {most} images in one request, and no other strings")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise MalformedJson("JSON must be UTF-8") from None
    if len(_STRING.sub("", text)) > _JSON_OUTSIDE_STRINGS:
        raise MalformedJson("this is not a JSON object of base64 strings")
    return text


def _decode(text: str, index: int) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"image {index + 1} is not base64") from None
