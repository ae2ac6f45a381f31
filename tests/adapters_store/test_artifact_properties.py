"""What holds for every adapter and every damage: a round trip loses nothing, and a bad file raises only our errors."""

import dataclasses

import numpy as np
from hypothesis import HealthCheck, given, settings
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


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    """A good file after a few cuts, flips, insertions, and doublings, mostly inside its header."""
    data = bytearray(GOOD_FILE)
    for _ in range(draw(st.integers(1, 4))):
        end = max(1, draw(st.sampled_from([8, 40, len(data)])))
        at = draw(st.integers(0, min(end, len(data))))
        until = at + draw(st.sampled_from([0, 1, 2, 8, 64, len(data)]))
        inserted = draw(st.one_of(st.binary(max_size=9), st.sampled_from([b"", bytes(data[at:until]) * 2, *TOKENS])))
        data[at:until] = inserted
    return bytes(data)


TOKENS = [b'"', b"{", b"}", b"[", b"]", b",", b"NaN", b"1e999", b"-1", b"9" * 30, b"\\u0000", b"\xff", b'"F16"', b"0"]


@given(adapters())
def test_packing_what_was_unpacked_gives_the_same_bytes(adapter: TaskAdapter) -> None:
    data = pack(adapter)
    assert pack(unpack(data)) == data


@given(adapters())
def test_manifests_survive_the_round_trip(adapter: TaskAdapter) -> None:
    assert unpack(pack(adapter)).manifest == adapter.manifest


@settings(max_examples=800, suppress_health_check=[HealthCheck.too_slow])
@given(damaged_files())
def test_a_damaged_file_is_refused_or_still_whole(data: bytes) -> None:
    try:
        adapter = unpack(data)
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
