"""The log's meaning: entries that do not follow are corrupt; entries and states survive being written down."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters_store.errors import CorruptLog
from adapters_store.events import (
    AliasDeleted,
    AliasMoved,
    BlobsCollected,
    Change,
    Event,
    Seeded,
    TaskDeleted,
    VersionAdded,
    VersionDeleted,
    decode_change,
    encode_change,
)
from adapters_store.state import State, apply, decode_state, encode_state


def added(task: str = "cat", version: int = 1, alias: str = "live") -> VersionAdded:
    return VersionAdded(task, version, "ab" * 32, 3, "blobs/ab.1", alias)


def state_after(*events: Event) -> State:
    state = State()
    for event in events:
        state = apply(state, Change(state.generation + 1, 1.5, "n", event, state.head))
    return state


ONE_OF_EACH: list[Event] = [
    Seeded((added("dog"), added("owl"))),
    added(),
    added(version=2, alias=""),
    AliasMoved("cat", "canary", {1: 95, 2: 5}),
    AliasDeleted("cat", "canary"),
    VersionDeleted("cat", 2),
    TaskDeleted("dog"),
    BlobsCollected(3),
]

IMPOSSIBLE: list[Event] = [
    added(version=2),
    Seeded((added(), added())),
    AliasMoved("cat", "live", {1: 1}),
    AliasDeleted("cat", "live"),
    VersionDeleted("cat", 1),
    TaskDeleted("cat"),
]


@pytest.mark.parametrize("event", IMPOSSIBLE, ids=lambda event: type(event).__name__)
def test_an_event_that_does_not_follow_is_corrupt(event: Event) -> None:
    with pytest.raises(CorruptLog):
        state_after(event)


@pytest.mark.parametrize(
    "event", [AliasMoved("cat", "live", {2: 1}), AliasDeleted("cat", "x"), VersionDeleted("cat", 2)]
)
def test_an_event_about_what_a_task_lacks_is_corrupt(event: Event) -> None:
    with pytest.raises(CorruptLog):
        state_after(added(), event)


@pytest.mark.parametrize("generation", [0, 2, 3])
def test_entries_are_applied_in_order(generation: int) -> None:
    with pytest.raises(CorruptLog):
        apply(State(), Change(generation, 1.5, "n", added()))


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_every_kind_of_event_survives_being_written(event: Event) -> None:
    change = Change(7, 1.7e9 + 0.1, "0123", event)
    assert decode_change(encode_change(change)) == change


@pytest.mark.parametrize("length", range(len(ONE_OF_EACH) + 1))
def test_every_state_survives_being_written(length: int) -> None:
    state = state_after(*ONE_OF_EACH[:length])
    assert decode_state(encode_state(state)) == state


def test_a_state_knows_what_it_no_longer_holds() -> None:
    state = state_after(*ONE_OF_EACH)
    assert (state.task_generation("dog"), state.last_version("dog")) == (0, 1)
    assert (state.task_generation("cat"), state.last_version("cat")) == (6, 2)
    assert (state.last_version("fox"), state.swept) == (0, 8)


UNREADABLE: list[dict[str, Any]] = [
    {"kind": "task_renamed"},
    {"event": {"task": "cat"}},
    {"event": None},
    {"generation": "1"},
    {"at": None},
    {"nonce": 3},
    {"more": 1},
]


@pytest.mark.parametrize("change", UNREADABLE, ids=str)
def test_an_entry_of_another_shape_is_corrupt(change: dict[str, Any]) -> None:
    entry = json.loads(encode_change(Change(1, 1.5, "n", added())))
    with pytest.raises(CorruptLog):
        decode_change(json.dumps(entry | change).encode())


def test_an_entry_that_is_not_in_the_canonical_form_is_corrupt() -> None:
    data = encode_change(Change(1, 1.5, "n", added()))
    with pytest.raises(CorruptLog, match="canonical"):
        decode_change(json.dumps(json.loads(data)).encode())


@given(st.binary(max_size=60))
def test_any_bytes_are_an_entry_or_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptLog):
        decode_change(data)
