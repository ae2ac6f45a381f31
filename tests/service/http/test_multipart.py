"""A multipart body is read into memory, part by part, and refused at the first byte too many."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BodyTooLarge, InvalidRequest, MalformedForm, RequestError
from service.http.multipart import FormLimits, Part, read_form

LIMITS = FormLimits(files=2, file_bytes=100)
TYPE = "multipart/form-data; boundary=XX"

pytestmark = pytest.mark.anyio


def part(data: bytes, name: str = "image", filename: str | None = "a.png") -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--XX--\r\n"


async def read(body: bytes, *, chunk: int = 2**16, content_type: str = TYPE, limits: FormLimits = LIMITS) -> list[Part]:
    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(body), chunk):
            yield body[start : start + chunk]

    return await read_form(content_type, stream(), limits=limits)


@pytest.mark.parametrize("chunk", [1, 2, 7, 2**16])
async def test_parts_come_out_as_they_went_in_however_they_are_cut(chunk: int) -> None:
    parts = await read(form(part(b"\r\n--X\x00"), part(b"3", "top_k", None), part(b"")), chunk=chunk)
    assert [(p.name, p.is_file, bytes(p.data)) for p in parts] == [
        ("image", True, b"\r\n--X\x00"),
        ("top_k", False, b"3"),
        ("image", True, b""),
    ]


@pytest.mark.parametrize("name", ["../../../etc/x.png", "C:\\\\x", "a\x00b", "%2e%2e", "", "x" * 3000])
async def test_a_hostile_file_name_is_never_looked_at(name: str) -> None:
    (only,) = await read(form(part(b"data", filename=name)))
    assert (only.name, only.is_file, bytes(only.data)) == ("image", True, b"data")


@pytest.mark.parametrize("name", ["image", "images", "file"])
async def test_a_part_without_a_file_name_is_a_file_by_its_form_name(name: str) -> None:
    (only,) = await read(form(part(bytes(1025), name, None)), limits=FormLimits(files=1, file_bytes=1025))
    assert (only.name, only.is_file, len(only.data)) == (name, True, 1025)


@pytest.mark.parametrize(("size", "fits"), [(99, True), (100, True), (101, False)])
async def test_a_file_may_have_exactly_its_limit(size: int, fits: bool) -> None:
    if fits:
        assert len((await read(form(part(bytes(size)))))[0].data) == size
    else:
        with pytest.raises(BodyTooLarge):
            await read(form(part(bytes(size))))


async def test_a_text_field_is_short() -> None:
    assert len((await read(form(part(bytes(1024), "f", None))))[0].data) == 1024
    with pytest.raises(BodyTooLarge):
        await read(form(part(bytes(1025), "f", None)))


async def test_files_and_fields_are_counted_apart() -> None:
    assert len(await read(form(*[part(b"")] * 2, *[part(b"", "f", None)] * 8))) == 10
    with pytest.raises(InvalidRequest, match="2 file"):
        await read(form(*[part(b"")] * 3))
    with pytest.raises(InvalidRequest, match="8 form fields"):
        await read(form(*[part(b"", "f", None)] * 9))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form at all",
        part(b"x"),  # no end
        form(part(b"x"))[:-4],
        b"--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--\r\n",  # no name
        b"--XX\r\n\r\nx\r\n--XX--\r\n",  # no header
        b"--XX\r\nbad header\r\n\r\nx\r\n--XX--\r\n",
        b"--XX\r\n" + b"A: b\r\n" * 9 + b"\r\nx\r\n--XX--\r\n",
        b"--XX\r\nA: " + b"b" * 5000 + b"\r\n\r\nx\r\n--XX--\r\n",
    ],
)
async def test_what_is_no_form_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedForm):
        await read(body)


@pytest.mark.parametrize("suffix", ["", "; boundary=", '; boundary=""', f"; boundary={'x' * 257}"])
async def test_a_form_needs_a_boundary_of_reasonable_length(suffix: str) -> None:
    with pytest.raises(MalformedForm):
        await read(form(part(b"x")), content_type=f"multipart/form-data{suffix}")


async def test_a_charset_changes_nothing() -> None:
    (only,) = await read(form(part(b"x")), content_type=f"{TYPE}; charset=undefined")
    assert bytes(only.data) == b"x"


@given(
    st.lists(
        st.sampled_from([b"--XX", b"\r\n", b"--", b":", b"Content-Disposition: form-data", b'; name="a"', b"\x00"])
    )
)
async def test_any_bytes_are_a_form_or_refused(pieces: list[bytes]) -> None:
    try:
        parts = await read(b"".join(pieces), chunk=3)
    except RequestError:
        return
    assert all(len(p.data) <= 1024 for p in parts)
