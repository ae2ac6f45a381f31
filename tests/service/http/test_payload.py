"""Images arrive raw, in a form, or as base64 in JSON; anything else is refused by kind."""

import base64
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BodyTooLarge, InvalidRequest, MalformedJson, RequestError
from service.http.multipart import FormLimits
from service.http.payload import MANY_TASKS, Body, Payload, parse_json, read_file, read_payload
from service.inputs.base64_text import from_base64
from service.schemas import PredictOptions
from tests.service.http.test_multipart import TYPE, form, part

LIMITS = FormLimits(files=3, file_bytes=100)
ENCODED = base64.b64encode(b"image").decode()

pytestmark = pytest.mark.anyio


async def inline(job: Callable[[], Payload]) -> Payload:
    return job()


def body(content_type: str, data: bytes) -> Body:
    async def stream() -> AsyncIterator[bytes]:
        yield data[:10]
        yield data[10:]

    return Body(content_type, stream())


def payload(content_type: str, data: bytes) -> Awaitable[Payload]:
    return read_payload(body(content_type, data), images=LIMITS, offload=inline)


@pytest.mark.parametrize("kind", ["", "image/png", "text/html", "application/x-www-form-urlencoded", "multipart/mixed"])
async def test_a_raw_body_is_one_image_whatever_it_is_called(kind: str) -> None:
    assert await payload(kind, b"some image bytes") == Payload((b"some image bytes",))


@pytest.mark.parametrize("kind", ["application/json", "APPLICATION/JSON; charset=utf-16"])
async def test_json_holds_base64(kind: str) -> None:
    data = json.dumps({"images": [ENCODED, ENCODED], "top_k": 2}).encode()
    assert await payload(kind, data) == Payload((b"image", b"image"), PredictOptions(top_k=2))


async def test_a_form_holds_files_and_options() -> None:
    data = form(part(b"1"), part(b"2", "other"), part(b"7", "top_k", None))
    assert await payload(TYPE, data) == Payload((b"1", b"2"), PredictOptions(top_k=7))


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [part(b"7", "top_k", None)],
        [part(b"1"), part(b"0", "top_k", None)],
        [part(b"1"), part(b"10001", "top_k", None)],
        [part(b"1"), part(b"x", "top_k", None)],
        [part(b"1"), part(b"\xff", "top_k", None)],
        [part(b"1"), part(b"1", "topk", None)],
        [part(b"1"), *[part(b"1", "top_k", None)] * 2],
    ],
)
async def test_a_form_without_images_or_with_other_fields_is_refused(parts: list[bytes]) -> None:
    with pytest.raises(InvalidRequest):
        await payload(TYPE, form(*parts))


async def test_many_tasks_are_named_in_a_form_or_in_json() -> None:
    data = form(part(b"1"), part(b"a", "tasks", None), part(b"logits", "output", None), part(b"b", "tasks", None))
    found = await read_payload(body(TYPE, data), images=LIMITS, offload=inline, schema=MANY_TASKS)
    assert found == Payload((b"1",), PredictOptions(output="logits"), ("a", "b"))
    for named, tasks in ((["a", "b"], ("a", "b")), ("all", ("all",)), ([], ())):
        document = json.dumps({"images": [ENCODED], "tasks": named}).encode()
        assert parse_json(document, most=3, schema=MANY_TASKS).tasks == tasks


async def test_as_many_tasks_as_allowed_and_no_more_fit_into_a_form() -> None:
    for count in (256, 257):
        data = form(part(b"1"), *[part(b"a", "tasks", None)] * count)
        asked = read_payload(body(TYPE, data), images=LIMITS, offload=inline, schema=MANY_TASKS)
        if count == 256:
            assert len((await asked).tasks) == count
        else:
            with pytest.raises(InvalidRequest):
                await asked


async def test_a_string_without_an_end_is_refused_before_all_of_it_came() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'{"images": ["'
        while True:
            sent += 1000
            yield b"A" * 1000

    with pytest.raises(BodyTooLarge):
        await read_payload(Body("application/json", endless()), images=LIMITS, offload=inline)
    assert sent < 10_000


@given(st.binary(max_size=50), st.sampled_from(["", "data:image/png;base64,", "data:image/webp;a=b;base64,"]))
def test_base64_and_data_uris_hold_any_bytes(data: bytes, prefix: str) -> None:
    assert from_base64(prefix + base64.b64encode(data).decode()) == data


@given(st.binary(max_size=200), st.booleans(), st.booleans(), st.sampled_from(["", "Data:Image/PNG;BASE64,"]))
def test_base64_is_read_in_every_form_that_clients_send(data: bytes, safe: bool, padded: bool, prefix: str) -> None:
    text = (base64.urlsafe_b64encode if safe else base64.b64encode)(data).decode()
    lines = "\r\n".join(text[start : start + 76] for start in range(0, len(text), 76)) + "\n"
    assert from_base64(prefix + (lines if padded else lines.replace("=", ""))) == data


@pytest.mark.parametrize(
    "text", ["data:,", "data:image/png,aQ==", "data:;base64,aQ==", "data:image/png;base64,!", "a", "aQ===", "a=Q=", "é"]
)
def test_what_is_neither_is_none(text: str) -> None:
    assert from_base64(text) is None


@pytest.mark.parametrize("kind", ["", TYPE])
async def test_one_file_is_read_raw_or_from_a_form(kind: str) -> None:
    data = form(part(b"bytes")) if kind else b"bytes"
    assert await read_file(body(kind, data), most_bytes=5) == b"bytes"
    with pytest.raises(BodyTooLarge):
        await read_file(body(kind, data), most_bytes=4)


@pytest.mark.parametrize(("kind", "data"), [("", b""), (TYPE, form(part(b"5", "top_k", None)))])
async def test_one_file_there_must_be(kind: str, data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        await read_file(body(kind, data), most_bytes=100)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        '{"images": []}'.encode("utf-16"),
        b'{"images": ["aQ=="], "images": ["aQ=="]}',
        b'{"images": ["aQ=="], "top_k": NaN}',
        b'{"images": ["aQ=="], "top_k": 1e999}',
        b'{"images": ["aQ=="], "top_k": ' + b"9" * 5000 + b"}",
        b'{"images": ' + b"[" * 60_000 + b"]" * 60_000 + b"}",
        b"[" * 200_000,
        b'{"images": [' + b"1," * 2_000_000 + b"1]}",
    ],
)
def test_json_that_parsers_could_read_differently_is_malformed(text: bytes) -> None:
    with pytest.raises(MalformedJson):
        parse_json(text, most=3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"images": [}', "not JSON: Expecting value: line 1 column 13 (char 12)"),
        (b"[]", "not a JSON object"),
        (b'{"images": [], "images": []}', "an object of this JSON names a key twice"),
        (b'{"top_k": NaN}', "this JSON holds NaN, Infinity, or a number that overflows to it"),
        (b'{"a": ' + b"[" * 30 + b"]" * 30 + b"}", "this JSON is nested too deeply"),
    ],
)
def test_words_about_a_request_are_not_those_about_adapter_files(text: bytes, said: str) -> None:
    with pytest.raises(MalformedJson, match=f"^{re.escape(said)}$"):
        parse_json(text, most=3)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"images": []},
        {"images": ENCODED},
        {"images": [1]},
        {"images": [ENCODED], "top_k": "2"},
        {"images": [ENCODED], "top_k": True},
        {"images": [ENCODED], "top_k": 0},
        {"images": [ENCODED], "topk": 2},
        {"images": [ENCODED] * 4},
        {"images": ["not base64!"]},
        {"images": ["\ud800"]},
        {"images": ["a"]},
        {"images": [""] * 40_000},
    ],
)
def test_other_keys_types_or_values_are_invalid(document: object) -> None:
    with pytest.raises(InvalidRequest):
        parse_json(json.dumps(document).encode(), most=3)


SCALARS = st.none() | st.booleans() | st.floats() | st.text()
KEYS = st.sampled_from(["images", "top_k", "\x00", "\ud800"])


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner)))
def test_any_json_is_a_payload_or_refused(document: object) -> None:
    try:
        found = parse_json(json.dumps(document).encode(), most=3)
    except RequestError:
        return
    assert 1 <= len(found.images) <= 3


async def test_a_string_that_no_image_needs_is_refused_before_it_is_parsed() -> None:
    assert len((await payload("application/json", b'{"images": ["' + b"A" * 1172 + b'"]}')).images[0]) == 879
    with pytest.raises(BodyTooLarge, match="1174 characters"):
        await payload("application/json", b'{"images": ["' + b"A" * 1176 + b'"]}')
