"""Parses request bodies: images and options (raw bytes, a multipart form, or JSON with base64), files, documents.

Knows what a body looks like, not what an image or a task is.
"""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from adapters_store import errors as strict
from adapters_store.strict_json import Json, outside_strings, parse_object
from service.errors import BodyTooLarge, InvalidRequest, MalformedJson
from service.http.multipart import FormLimits, Part, read_form
from service.inputs.base64_text import from_base64
from service.schemas import (
    ALL_TASKS,
    MAX_TASKS,
    FanoutJson,
    FanoutOptions,
    PredictJson,
    PredictOptions,
)

T = TypeVar("T")

FORM = "multipart/form-data"
JSON = "application/json"

MOST_DOCUMENT_BYTES = 16 * 1024

_DOCUMENT_DEPTH = 8
_JSON_DEPTH = 20
_JSON_OUTSIDE_STRINGS = 64 * 1024  # characters: brackets, commas and white space
_OTHER_STRINGS = 8  # keys and options; also the most form fields
_MOST_QUOTES = 2**17
_JSON_WORDS: Mapping[type[Exception], str] = {
    strict.JsonTooDeep: "this JSON is nested too deeply",
    strict.DuplicateKey: "an object of this JSON names a key twice",
    strict.NonFiniteNumber: "this JSON holds NaN, Infinity, or a number that overflows to it",
}


class PredictSchema(NamedTuple):
    """The options of a prediction: as form fields, as JSON, the most strings in it, and in words."""

    fields: type[PredictOptions]
    document: type[PredictJson]
    strings: int
    words: str


ONE_TASK = PredictSchema(
    PredictOptions, PredictJson, _OTHER_STRINGS, "top_k (1 to 10000), output and threshold (0 to 1)"
)
MANY_TASKS = PredictSchema(
    FanoutOptions, FanoutJson, _OTHER_STRINGS + MAX_TASKS, f"top_k, output, threshold and up to {MAX_TASKS} tasks"
)


@dataclass(frozen=True, slots=True)
class Payload:
    """Encoded images in their order, and what the body says about the answer; no tasks: it names none."""

    images: tuple[bytes, ...]
    options: PredictOptions = field(default_factory=PredictOptions)
    tasks: tuple[str, ...] = ()


Offload = Callable[[Callable[[], Payload]], Awaitable[Payload]]


@dataclass(frozen=True, slots=True)
class Body:
    """A request body before it is read: its declared type, and its bytes as they arrive."""

    content_type: str
    stream: AsyncIterable[bytes]

    @property
    def media_type(self) -> str:
        """The declared type without parameters, in lower case."""
        return self.content_type.partition(";")[0].strip().lower()


async def read_payload(
    body: Body, *, images: FormLimits, offload: Offload, schema: PredictSchema = ONE_TASK
) -> Payload:
    """Read the images of a prediction.

    Args:
        body: a form, JSON, or else one raw image whatever its declared type: the bytes decide.
        images: most images, and most bytes of one.
        offload: runs long parsing off the event loop.
        schema: the options there are.

    Raises:
        RequestError: the body is not what it should be.
    """
    if body.media_type == FORM:
        limits = replace(images, fields=schema.strings)
        return _from_form(await read_form(body.content_type, body.stream, limits=limits), images, schema)
    if body.media_type == JSON:
        longest = _base64_characters(images.file_bytes)
        text = b"".join([chunk async for chunk in _with_quotes(body.stream, longest)])
        return await offload(lambda: parse_json(text, most=images.files, schema=schema, longest=longest))
    return Payload((await read_file(body, most_bytes=images.file_bytes),))


async def _with_quotes(stream: AsyncIterable[bytes], longest: int) -> AsyncIterator[bytes]:
    """Pass JSON on, and give up once too much came since a quote: no more of it has to arrive, or be copied."""
    since, quoted = 0, False
    async for chunk in stream:
        at = chunk.rfind(b'"')
        since = since + len(chunk) if at < 0 else len(chunk) - at - 1
        quoted = quoted or at >= 0
        if quoted and since > longest:
            raise BodyTooLarge(f"a string in this JSON has more than {longest} characters")
        yield chunk


async def read_file(body: Body, *, most_bytes: int, check_beginning: Callable[[bytes], None] = lambda _: None) -> bytes:
    """Read one file: a form with exactly that, or the raw body.

    `check_beginning` is given the first piece of a raw body, and may refuse it before the rest has come.

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
        if not size:
            check_beginning(chunk)
        size += len(chunk)
        if size > most_bytes:
            raise BodyTooLarge(f"this body has at most {most_bytes} bytes")
        chunks.append(chunk)
    if not size:
        raise InvalidRequest("the body is empty")
    return b"".join(chunks)


def _from_form(parts: list[Part], limits: FormLimits, schema: PredictSchema) -> Payload:
    files = tuple(bytes(part.data) for part in parts if part.is_file)
    if not files:
        raise InvalidRequest(f"send 1 to {limits.files} images as file parts of the form")
    fields: dict[str, list[str]] = {}
    for part in parts:
        if not part.is_file:
            fields.setdefault(part.name, []).append(part.data.decode("utf-8", "replace"))
    if any(len(values) > 1 for name, values in fields.items() if name != "tasks"):
        raise InvalidRequest("a form field is given twice")
    given = {name: values if name == "tasks" else values[0] for name, values in fields.items()}
    try:
        return _payload(files, schema.fields.model_validate(given))
    except ValidationError:
        raise InvalidRequest(f"the only form fields beside images are {schema.words}") from None


def _payload(images: tuple[bytes, ...], options: PredictOptions) -> Payload:
    tasks: Sequence[str] = getattr(options, "tasks", ())
    named = (ALL_TASKS,) if tasks == ALL_TASKS else tuple(tasks)
    own = PredictOptions(top_k=options.top_k, output=options.output, threshold=options.threshold)
    return Payload(images, own, named)


def parse_json(body: bytes, *, most: int, schema: PredictSchema = ONE_TASK, longest: int | None = None) -> Payload:
    """Parse {"images": [base64, …], "top_k": n, …} with at most `most` images, and no string over `longest` characters.

    Raises:
        MalformedJson: not JSON that all parsers read alike.
        BodyTooLarge: a longer string.
        InvalidRequest: other keys or types, too many images, or not base64.
    """
    if body.count(b'"') > 4 * (most + schema.strings):
        raise InvalidRequest(f"at most {most} images in one request, and few other strings")
    text = bounded_text(body, outside=_JSON_OUTSIDE_STRINGS, longest=longest)
    try:
        document = schema.document.model_validate(read_object(text, max_depth=_JSON_DEPTH))
    except ValidationError:
        raise InvalidRequest(f'send {{"images": [base64, …]}}, with {schema.words}, and nothing else') from None
    if len(document.images) > most:
        raise InvalidRequest(f"at most {most} images in one request")
    return _payload(tuple(_decode(text, index) for index, text in enumerate(document.images)), document)


def _base64_characters(size: int) -> int:
    """The most that a file of `size` bytes takes, with line ends, escapes and the head of a data URI."""
    return size * 3 // 2 + 1024


def bounded_text(body: bytes, *, outside: int, items: int | None = None, longest: int | None = None) -> str:
    """A JSON body as text; refuses what would be costly to parse, by what is not in strings.

    Args:
        body: in UTF-8.
        outside: most characters outside of strings.
        items: most commas; None: as many as there are characters.
        longest: most characters of one string; None: as many as there are.

    Raises:
        MalformedJson: not UTF-8, or more of them.
        BodyTooLarge: a longer string.
    """
    if body.count(b'"') > _MOST_QUOTES:
        raise MalformedJson(f"this JSON has more than {_MOST_QUOTES} quotes")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise MalformedJson("JSON must be UTF-8") from None
    bare, found = outside_strings(text)
    if len(bare) > outside:
        raise MalformedJson(f"this JSON has more than {outside} characters outside of strings")
    if longest is not None and found > longest:
        raise BodyTooLarge(f"a string in this JSON has more than {longest} characters")
    if items is not None and bare.count(",") > items:
        raise MalformedJson(f"this JSON has more than {items} values; send large tensors as binary data")
    return text


def read_object(text: str, *, max_depth: int) -> dict[str, Json]:
    """The JSON object of a request, read strictly.

    Raises:
        MalformedJson: not JSON that all parsers read alike; says where it breaks, and repeats nothing of it.
    """
    try:
        return parse_object(text, max_depth=max_depth)
    except strict.InvalidJson as error:  # it names a line and a column at most
        raise MalformedJson(str(error)) from None
    except strict.ArtifactError as error:
        raise MalformedJson(_JSON_WORDS.get(type(error), "this is not JSON that all parsers read alike")) from None


def _decode(text: str, index: int) -> bytes:
    data = from_base64(text)
    if data is None:
        raise InvalidRequest(f"image {index + 1} is not base64")
    return data


async def read_document(body: Body, schema: TypeAdapter[T], *, example: str) -> T:
    """The document in a body.

    Args:
        body: JSON in UTF-8, whatever its declared type.
        schema: what it must be.
        example: of what is accepted, for the refusal.

    Raises:
        BodyTooLarge: more than `MOST_DOCUMENT_BYTES`.
        MalformedJson: not JSON that all parsers read alike.
        InvalidRequest: other keys, types or values.
    """
    data = await read_file(Body("", body.stream), most_bytes=MOST_DOCUMENT_BYTES)
    try:
        return schema.validate_python(read_object(data.decode(), max_depth=_DOCUMENT_DEPTH))
    except UnicodeDecodeError:
        raise MalformedJson("JSON must be UTF-8") from None
    except ValidationError:
        raise InvalidRequest(f"send {example} and nothing else") from None
