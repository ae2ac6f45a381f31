"""Records are read back exactly by their annotations."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from adapters_store.errors import BadManifest, InvalidField, MissingField, UnknownField
from adapters_store.strict_json import Json, canonical, parse_object, read_dataclass


@dataclass(frozen=True)
class Inner:
    count: int


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    weights: Mapping[int, float]
    several: tuple[Inner, ...]
    anything: Json


GOOD = Outer("x", Inner(1), {3: 0.5}, (Inner(2), Inner(3)), {"deep": [1, None]})


def changed(**changes: Json) -> Json:
    return parse_object(canonical(GOOD), max_depth=9) | changes


def test_what_was_written_is_read() -> None:
    assert read_dataclass(Outer, changed(), "outer") == GOOD


BAD: list[tuple[type[BadManifest], Json]] = [
    (InvalidField, None),
    (UnknownField, changed(more=1)),
    (InvalidField, changed(name=None)),
    (InvalidField, changed(name="a\tb")),
    (InvalidField, changed(inner=[])),
    (MissingField, changed(inner={})),
    (InvalidField, changed(inner={"count": True})),
    (InvalidField, changed(weights=[1])),
    (InvalidField, changed(weights={"three": 0.5})),
    (InvalidField, changed(weights={"³": 0.5})),
    (InvalidField, changed(weights={"3": True})),
    (InvalidField, changed(several={})),
    (InvalidField, changed(several=[1])),
]


@pytest.mark.parametrize(("error", "value"), BAD)
def test_anything_else_is_refused(error: type[BadManifest], value: Json) -> None:
    with pytest.raises(error) as caught:
        read_dataclass(Outer, value, "outer")
    assert caught.type is error
    assert str(caught.value).startswith("outer")
