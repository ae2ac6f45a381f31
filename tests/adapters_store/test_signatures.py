"""Other formats are recognised by their first bytes, before anything is parsed."""

import gzip
import io
import pickle
import tarfile
import zipfile

import pytest

from adapters_store import unpack
from adapters_store.container import read_container
from adapters_store.errors import HeaderTooLarge, NotSafetensors, TruncatedFile
from adapters_store.limits import DEFAULT_LIMITS
from tests.adapters_store.raw import GOOD_FILE, raw_file


def zip_bytes() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"payload")
    return file.getvalue()


def tar_bytes() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../etc/passwd"))
    return file.getvalue()


FOREIGN = {
    "pickle": pickle.dumps({"weights": [1.0] * 100}),
    "zip archive": zip_bytes(),
    "empty zip": b"PK\x05\x06" + bytes(18),
    "gzip": gzip.compress(bytes(10_000_000)),
    "tar archive": tar_bytes(),
    "HTML": b"<!DOCTYPE html><title>Not found</title>",
    "JSON": b'{"detail": "Not found"}',
    "NumPy": b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}",
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(20),
}
SHAPELESS = {
    "pickle of old": pickle.dumps({"weights": [1.0] * 100}, protocol=0),
    "UTF-16": raw_file('{"a": 1}'.encode("utf-16")),
    "text": b"just some words that mean nothing",
    "zeros": bytes(64),
}


@pytest.mark.parametrize(("name", "data"), FOREIGN.items(), ids=FOREIGN.keys())
def test_another_format_is_refused_by_name(name: str, data: bytes) -> None:
    with pytest.raises(NotSafetensors, match=name):
        unpack(data)


@pytest.mark.parametrize("data", SHAPELESS.values(), ids=SHAPELESS.keys())
def test_what_has_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(NotSafetensors, match="no safetensors header"):
        unpack(data)


@pytest.mark.parametrize("data", [b"PK\x03\x04", b"\x80\x04", b"<html>"])
def test_a_signature_is_recognised_even_where_the_file_ends_after_it(data: bytes) -> None:
    with pytest.raises(NotSafetensors):
        unpack(data)


@pytest.mark.parametrize("length", range(9))
def test_a_file_too_short_for_a_header_is_truncated(length: int) -> None:
    with pytest.raises(TruncatedFile):
        unpack(GOOD_FILE[:length])


def test_a_length_field_may_look_like_a_signature() -> None:
    length = int.from_bytes(b"\x80\x04", "little")  # a pickle would begin so
    assert read_container(raw_file(b"{}".ljust(length)), DEFAULT_LIMITS).tensors == {}


def test_an_impossible_length_before_a_brace_is_a_large_header_not_a_foreign_file() -> None:
    with pytest.raises(HeaderTooLarge):
        unpack(raw_file("{}", length=2**63))
