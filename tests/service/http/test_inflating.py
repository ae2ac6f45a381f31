"""Compressed bodies: inflated for a POST, and never more work or memory than a plain body could be."""

import asyncio
import base64
import gzip
import json
import resource
import time
import zlib
from collections.abc import Callable

import pytest
from starlette.types import Message

from service.errors import BodyTooLarge, MalformedRequest
from service.http.inflating import Inflated
from tests.service.adapters import Made, make
from tests.service.asking import IMAGE, PNG, answer
from tests.service.live import Live

MIB = 2**20
BODY = json.dumps({"images": [base64.b64encode(PNG).decode()], "output": "logits"}).encode()
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "GZIP": gzip.compress,
}
URL = "/v1/tasks/cats/predict"
KIND = {"Content-Type": "application/json"}


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_body_is_the_same_body(live: Live, made: dict[str, Made], coding: str) -> None:
    data = CODINGS[coding](BODY)
    for sent in (data, iter([data[:10], data[10:11], data[11:]])):  # whole, and in chunks of any size
        response = live.client.post(URL, content=sent, headers={**KIND, "Content-Encoding": coding})
        (result,) = answer(response).results
        assert result.logits == pytest.approx(made["cats"].logits(IMAGE).tolist(), abs=1e-4)


def test_a_form_and_a_raw_image_may_be_compressed_too(live: Live) -> None:
    form = live.client.build_request("POST", URL, files=[("image", ("x", PNG))])
    kind = {"Content-Type": form.headers["content-type"], "Content-Encoding": "gzip"}
    assert live.client.post(URL, content=gzip.compress(form.read()), headers=kind).status_code == 200
    raw = live.client.post(URL, content=zlib.compress(PNG), headers={"Content-Encoding": "deflate"})
    assert raw.status_code == 200


BROKEN = {
    "another coding": (zlib.compress(BODY), "gzip"),
    "cut off": (gzip.compress(BODY)[:-9], "gzip"),
    "without its end": (gzip.compress(BODY)[:-1], "gzip"),
    "more behind it": (gzip.compress(BODY) + b"x", "gzip"),
    "a second member": (gzip.compress(BODY) * 2, "gzip"),
    "damaged": (gzip.compress(BODY)[:60] + b"\0\0\0\0" + gzip.compress(BODY)[64:], "gzip"),
    "no zlib": (b"abc", "deflate"),
    "nothing": (b"", "gzip"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_body_that_is_not_what_it_says_is_refused(live: Live, name: str) -> None:
    data, coding = BROKEN[name]
    response = live.client.post(URL, content=data, headers={**KIND, "Content-Encoding": coding})
    assert (response.status_code, response.json()["code"]) == (400, "malformed_request")


@pytest.mark.parametrize(
    ("method", "path", "coding"),
    [
        ("POST", URL, "br"),
        ("POST", URL, "gzip, gzip"),
        ("POST", URL, ""),
        ("PUT", "/v1/tasks/never", "gzip"),
        ("PATCH", "/v1/tasks/cats", "gzip"),
    ],
)
def test_other_codings_are_refused_with_those_that_are_taken(live: Live, method: str, path: str, coding: str) -> None:
    content = gzip.compress(make(5).data)
    response = live.client.request(method, path, content=content, headers={"Content-Encoding": coding})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_encoding")
    assert response.headers["accept-encoding"] == "gzip, deflate"


def bomb(size: int) -> bytes:
    """A gzip file of zeros, a thousandth of its size."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(size // MIB)), packer.flush()])


@pytest.mark.parametrize("path", [URL, "/v1/predict", "/v2/models/cats/infer"])
def test_a_bomb_is_refused_in_little_time_and_memory(live: Live, path: str) -> None:
    data = bomb(1024 * MIB)
    assert len(data) < 2 * MIB
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    response = live.client.post(path, content=data, headers={**KIND, "Content-Encoding": "gzip"})
    assert response.status_code == 413
    assert time.monotonic() - start < 20  # a machine that is busy; a gigabyte would take longer by far
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 128 * MIB
    assert live.client.get("/health/ready").status_code == 200


def test_what_is_inflated_counts_for_all_bodies_together(tight: Live) -> None:
    """The server of this test holds 100,000 bytes of bodies at once, and takes 60,000 of one."""
    for _ in range(5):  # each gives its bytes back
        white = gzip.compress(b"{" + b" " * 55_000 + b'"images": []}')
        response = tight.client.post(URL, content=white, headers={**KIND, "Content-Encoding": "gzip"})
        assert response.status_code == 422
        large = gzip.compress(b"{" + b" " * 65_000 + b'"images": []}')
        response = tight.client.post(URL, content=large, headers={**KIND, "Content-Encoding": "gzip"})
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


def inflate(data: bytes, *, pieces: int = 1, most: int = 64 * MIB) -> tuple[bytes, list[int]]:
    """The body that comes out of a gzip body in so many pieces, and the sizes that were reported."""
    size = max(1, -(-len(data) // pieces))
    messages: list[Message] = [
        {"type": "http.request", "body": data[at : at + size], "more_body": at + size < len(data)}
        for at in range(0, max(1, len(data)), size)
    ]
    held = list[int]()

    async def receive() -> Message:
        return messages.pop(0)

    async def read() -> bytes:
        body, found = Inflated("gzip", receive, most=most, hold=held.append), list[bytes]()
        while True:
            message = await body.receive()
            found.append(message["body"])
            if not message["more_body"]:
                return b"".join(found)

    return asyncio.run(read()), held


@pytest.mark.parametrize("pieces", [1, 2, 7, 1000])
@pytest.mark.parametrize("size", [0, 1, 255 * 1024, 256 * 1024, 256 * 1024 + 1, 3 * MIB])
def test_every_size_comes_out_whole_in_bounded_pieces(size: int, pieces: int) -> None:
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    found, held = inflate(gzip.compress(body), pieces=pieces)
    assert found == body
    assert (sum(held), max(held) <= 256 * 1024 + 512) == (size, True)


def test_a_small_body_is_little_work_however_well_it_was_compressed() -> None:
    assert len(inflate(bomb(4 * MIB))[0]) == 4 * MIB  # images of one colour are legitimate
    with pytest.raises(BodyTooLarge):
        inflate(bomb(8 * MIB))
    with pytest.raises(BodyTooLarge):
        inflate(gzip.compress(bytes(2 * MIB)), most=MIB)


def test_a_last_piece_without_an_end_is_told_at_once() -> None:
    with pytest.raises(MalformedRequest):
        inflate(gzip.compress(bytes(1000))[:-4], pieces=3)
