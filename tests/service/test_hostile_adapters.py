"""Hostile uploads leave no trace, and none causes a 500."""

import io
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.service.adapters import make
from tests.service.hostile import quick, refused
from tests.service.live import Live
from tests.service.misfits import other_backbone, other_preprocessing, wrong_golden

pytestmark = pytest.mark.usefixtures("alive")

FILE = make(80).data


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("../../etc/evil", "x")
    return file.getvalue()


ADAPTERS: dict[str, tuple[bytes, int]] = {
    "empty": (b"", 422),
    "pickle": (b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94", 415),
    "zip": (archive(), 415),
    "html": (b"<!DOCTYPE html><html></html>", 415),
    "cut": (FILE[:-1], 422),
    "longer": (FILE + b"\0", 422),
    "huge header": (struct.pack("<Q", 2**63) + b"{}", 422),
    "deep header": (struct.pack("<Q", 100_001) + b'{"a":' + b"[" * 99_996, 422),
    "other backbone": (other_backbone(make(80)), 409),
    "other preprocessing": (other_preprocessing(make(80)), 409),
    "wrong golden": (wrong_golden(make(80)), 422),
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_hostile_adapter_is_refused_and_leaves_no_trace(live: Live, name: str, task: str) -> None:
    data, status = ADAPTERS[name]
    before = live.service.store.snapshot()
    refused(live.client.put(f"/v1/tasks/{task}", content=data), status)
    assert live.service.store.snapshot() == before
    assert live.client.get(f"/v1/tasks/{task}").status_code == 404


def test_a_mismatch_names_both_hashes(live: Live, task: str) -> None:
    detail = live.client.put(f"/v1/tasks/{task}", content=other_backbone(make(80))).json()["detail"]
    assert live.service.engine.backbone.fingerprint in detail
    assert "0" * 64 in detail


@quick
@given(changes=st.lists(st.tuples(st.integers(0, len(FILE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_adapter_is_refused_or_whole(live: Live, changes: list[tuple[int, int]]) -> None:
    data = bytearray(FILE)
    for place, value in changes:
        data[place] = value
    response = live.client.put("/v1/tasks/damaged", content=bytes(data))
    if response.status_code not in (200, 201):
        refused(response, 409, 413, 415, 422)
