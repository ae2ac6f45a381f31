"""Checksums that come with a file: read as their standards say, refused if they cannot be, and true."""

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ChecksumMismatch, MalformedHeader
from service.inputs.checksums import HEADERS, Checksums, parse, repr_digest
from tests.service.hostile import quick

pytestmark = pytest.mark.anyio

DATA = b"a task adapter"
RAW = hashlib.sha256(DATA).digest()
TEXT = base64.b64encode(RAW).decode()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("digest", [f"SHA-256={TEXT}"]),
        ("digest", [f"md5=ABCD, sha-256={TEXT}"]),
        ("content-digest", [f"sha-256=:{TEXT}:"]),
        ("repr-digest", [f"sha-512=:QUJD:, sha-256=:{TEXT}:;q=1"]),
        ("repr-digest", ["sha-512=:QUJD:,sha-256=:" + TEXT + ":"]),
    ],
)
def test_each_header_is_read_as_its_standard_says(name: str, values: list[str]) -> None:
    assert parse({name: values}) == {RAW}


def test_no_header_claims_nothing() -> None:
    assert parse({name: [] for name in HEADERS}) == frozenset()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("digest", ""),
        ("digest", f"sha-256=:{TEXT}:"),
        ("repr-digest", f"sha-256={TEXT}"),
        ("repr-digest", "sha-512=:QUJD:"),
        ("repr-digest", f"sha-256=:{TEXT[:-4]}:"),
        ("repr-digest", "sha-256=:====:"),
        ("repr-digest", f"sha-256=:{TEXT}:, nonsense"),
        ("content-digest", f"sha-256=:{hashlib.sha256(DATA).hexdigest()}:"),
    ],
)
def test_what_is_no_sha256_is_refused_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(MalformedHeader) as refused:
        parse({name: [value]})
    assert "nonsense" not in str(refused.value)


@quick
@given(st.sampled_from(HEADERS), st.lists(st.text(st.characters(max_codepoint=255)), min_size=1))
def test_no_value_does_more_than_be_refused(name: str, values: list[str]) -> None:
    with suppress(MalformedHeader):
        assert all(len(claim) == 32 for claim in parse({name: values}))


@quick
@given(st.binary(max_size=99), st.sampled_from(["content-digest", "repr-digest"]))
def test_what_is_written_is_read_back(data: bytes, name: str) -> None:
    digest = hashlib.sha256(data)
    assert parse({name: [repr_digest(digest.hexdigest())]}) == {digest.digest()}


async def _pieces() -> AsyncIterator[bytes]:
    yield b"--form\r\n"
    yield DATA


async def _read(checksums: Checksums) -> bytes:
    return b"".join([chunk async for chunk in checksums.watch(_pieces())])


async def test_a_checksum_may_be_the_file_s_or_the_whole_body_s() -> None:
    for right in (DATA, b"--form\r\n" + DATA):
        checksums = Checksums(frozenset({hashlib.sha256(right).digest()}))
        assert await _read(checksums) == b"--form\r\n" + DATA
        assert checksums.claims
        checksums.verify(RAW.hex())


async def test_a_wrong_checksum_beside_a_right_one_is_found() -> None:
    checksums = Checksums(frozenset({RAW, bytes(32)}))
    await _read(checksums)
    with pytest.raises(ChecksumMismatch):
        checksums.verify(RAW.hex())


async def test_without_a_checksum_nothing_is_checked() -> None:
    checksums = Checksums()
    await _read(checksums)
    checksums.verify(RAW.hex())
    assert not checksums.claims
