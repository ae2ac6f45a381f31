"""Properties of every adapter and every damage: a round trip loses nothing, and a bad file raises only our errors."""

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters_store import ArtifactError, Manifest, TaskAdapter, pack, unpack
from tests.adapters_store.adapters import make_adapter, make_manifest
from tests.adapters_store.raw import GOOD_FILE, with_preprocessing

PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=12)
PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | PRINTABLE


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    widths = draw(st.lists(st.integers(0, 3), max_size=5))
    labels = draw(st.lists(PRINTABLE, min_size=2, max_size=5, unique=True))
    preprocessing = draw(st.dictionaries(PRINTABLE, PLAIN | st.lists(PLAIN, max_size=3), max_size=3))
    manifest = with_preprocessing(make_manifest(widths, labels), **preprocessing)
    return dataclasses.replace(manifest, description=draw(PRINTABLE))


@st.composite
def adapters(draw: st.DrawFn) -> TaskAdapter:
    return make_adapter(draw(manifests()), dtype=np.float16 if draw(st.booleans()) else np.float32)


TOKENS = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"NaN",
    b"1e999",
    b"-1",
    b"9" * 30,
    b"\\u0000",
    b"\xff",
    b'"F16"',
    b"0",
    b"",
]
EDITS = st.lists(
    st.tuples(
        st.integers(0, 40) | st.integers(0, len(GOOD_FILE)),  # where: mostly at the start of the header
        st.sampled_from([0, 1, 2, 8, 64, len(GOOD_FILE)]),  # how many bytes go
        st.sampled_from(TOKENS) | st.binary(max_size=9),  # what comes instead
    ),
    min_size=1,
    max_size=4,
)


def damaged(edits: list[tuple[int, int, bytes]]) -> bytes:
    """Return a good file after some edits."""
    data = bytearray(GOOD_FILE)
    for at, length, token in edits:
        data[at : at + length] = token
    return bytes(data)


@settings(max_examples=40)
@given(adapters())
def test_packing_what_was_unpacked_gives_the_same_bytes(adapter: TaskAdapter) -> None:
    data = pack(adapter)
    assert pack(unpack(data)) == data


@settings(max_examples=40)
@given(adapters())
def test_manifests_survive_the_round_trip(adapter: TaskAdapter) -> None:
    assert unpack(pack(adapter)).manifest == adapter.manifest


@settings(max_examples=600)
@given(EDITS)
def test_a_damaged_file_is_refused_or_still_whole(edits: list[tuple[int, int, bytes]]) -> None:
    try:
        adapter = unpack(damaged(edits))
    except ArtifactError:
        return
    assert unpack(pack(adapter)).manifest == adapter.manifest


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    try:
        unpack(data)
    except ArtifactError:
        return
    raise AssertionError("random bytes were read as an adapter")
