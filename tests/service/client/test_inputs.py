"""What callers have, and what is sent of it."""

import io
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import httpx2 as httpx
import pytest
from PIL import Image

from service.client import Client, InvalidArgument
from service.client.inputs import Images, encoded
from tests.service.client import scripted
from tests.service.client.scripted import Server, Time
from tests.service.live import encode, picture

PIXELS = picture(3)
PNG = encode(PIXELS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "image.png"
    file.write_bytes(PNG)
    return file


def test_an_image_is_bytes_or_a_path(path: Path) -> None:
    assert encoded(PNG) == encoded(path) == encoded(str(path)) == (PNG,)
    assert encoded([PNG, path, str(path)]) == (PNG, PNG, PNG)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1"])
def test_an_image_of_pillow_loses_nothing(mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    (data,) = encoded(image)
    assert Image.open(io.BytesIO(data)).convert("RGBA").tobytes() == image.convert("RGBA").tobytes()


@pytest.mark.parametrize("images", [[], (), b"", [PNG, b""]])
def test_no_image_is_refused(images: Images) -> None:
    with pytest.raises(InvalidArgument, match="at least one"):
        encoded(images)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(OSError, match="nowhere"):
        encoded("/nowhere.png")


@pytest.mark.parametrize(
    "act",
    [
        lambda client: client.task(".."),
        lambda client: client.task("a/b"),
        lambda client: client.task(""),
        lambda client: client.task("pets\n"),
        lambda client: client.task("Pets"),
        lambda client: client.delete_task("../../v2"),
        lambda client: client.version("pets", 0),
        lambda client: client.delete_alias("pets", ".."),
        lambda client: client.rollback("pets", alias="3"),
        lambda client: client.set_alias("pets", "live", {}),
        lambda client: client.upload("pets", b"file", sha256=sha256(b"other").hexdigest()),
        lambda client: client.upload("pets", b"file", sha256="abc"),
        lambda client: client.predict("pets", PNG, version=1, alias="live"),
        lambda client: client.predict_many([], PNG),
        lambda client: client.predict_many("pets", PNG),
        lambda client: client.predict_many(["pets", "?"], PNG),
        lambda client: client.within(0.0),
    ],
)
def test_what_the_api_cannot_take_is_not_sent(act: Callable[[Client], object]) -> None:
    server = Server(httpx.Response(200))
    with scripted.client("sync", server, Time()) as client, pytest.raises(InvalidArgument):
        act(client)
    assert server.requests == []


@pytest.mark.parametrize(
    "url", ["nonsense", "", "ftp://127.0.0.1", "http://", "http://[", "http://me:secret@host", "http://host?key=secret"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Client(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "two\nlines", "ключ", " blank "])
def test_a_key_that_is_none_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(InvalidArgument, match="visible ASCII") as caught:
        Client("http://127.0.0.1", key=key)
    assert not key or key not in str(caught.value)


def test_a_key_and_a_prefix_of_the_address_are_used() -> None:
    server = Server(httpx.Response(404))
    with Client("https://host/mimi/", key="key-0123456789", transport=httpx.MockTransport(server)) as client:
        assert not client.ready()
    (request,) = server.requests
    assert str(request.url) == "https://host/mimi/health/ready"
    assert request.headers["authorization"] == "Bearer key-0123456789"


def test_a_checksum_and_a_precondition_go_with_an_upload() -> None:
    server = Server(httpx.Response(404))
    with scripted.client("sync", server, Time()) as client:
        for generation in (None, 0, 17):
            with pytest.raises(Exception, match="404"):
                client.upload("pets", b"", sha256=sha256(b"").hexdigest(), generation=generation)
    digest = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
    assert all(request.headers["repr-digest"] == digest for request in server.requests)
    conditions = [(r.headers.get("if-match"), r.headers.get("if-none-match")) for r in server.requests]
    assert conditions == [(None, None), (None, "*"), ('"17"', None)]
