"""JSON is read strictly and written in one way."""

import json
import time
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters_store import errors
from adapters_store.strict_json import canonical, outside_strings, parse_object, shown

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_canonical_text_reads_back_as_the_same_value(value: dict[str, object]) -> None:
    assert parse_object(canonical(value), max_depth=100) == value


@given(st.text(alphabet='{}[]",:\\u0n1 ae-.N'))
def test_any_text_is_an_object_or_an_error_of_ours(text: str) -> None:
    try:
        value = parse_object(text, max_depth=5)
    except errors.BrokenFile:
        return
    assert value == json.loads(text)


@pytest.mark.parametrize("depth", [19, 20, 21])
def test_depth_is_limited_inclusively(depth: int) -> None:
    text = '{"a":' * depth + "1" + "}" * depth
    if depth <= 20:
        assert parse_object(text, max_depth=20)
    else:
        with pytest.raises(errors.JsonTooDeep):
            parse_object(text, max_depth=20)


@pytest.mark.parametrize(("digits", "fits"), [(19, True), (20, True), (21, False), (4300, False), (5000, False)])
def test_integers_have_at_most_20_characters(digits: int, fits: bool) -> None:
    text = '{"a":' + "9" * digits + "}"
    if fits:
        assert parse_object(text, max_depth=1) == {"a": 10**digits - 1}
    else:
        with pytest.raises(errors.InvalidJson):
            parse_object(text, max_depth=1)


def test_brackets_inside_strings_do_not_count() -> None:
    assert parse_object(r'{"a": "[[[[\"[[[[\\", "b": "]]"}', max_depth=1) == {"a": '[[[["[[[[\\', "b": "]]"}


@pytest.mark.parametrize("text", ['"\\' * 100_000, '{"' * 100_000, "\\" * 200_000, '"' + "\\\\" * 100_000])
def test_hostile_text_is_refused_quickly(text: str) -> None:
    start = time.process_time()
    with pytest.raises(errors.BrokenFile):
        parse_object(text, max_depth=20)
    assert time.process_time() - start < 0.5


def test_any_mapping_is_written_as_an_object() -> None:
    assert canonical(MappingProxyType({"b": MappingProxyType({}), "a": (1, 2)})) == '{"a":[1,2],"b":{}}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1: 2, "a": 3}, int])
def test_what_is_not_finite_json_is_not_written(value: object) -> None:
    with pytest.raises(errors.InvalidField):
        canonical(value)


def test_a_value_that_holds_itself_is_not_written() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(errors.InvalidField):
        canonical(loop)


def test_a_value_nested_without_end_is_not_written() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(errors.InvalidField):
        canonical(deep)


def test_untrusted_values_are_shown_short_and_in_ascii() -> None:
    assert shown("a\r\n\x1b[31m\u202e") == "'a\\r\\n\\x1b[31m\\u202e'"
    assert len(shown("x" * 1000)) < 70


@pytest.mark.parametrize(
    ("text", "outside", "longest"),
    [
        ("", "", 0),
        ('{"a": [1]}', "{: [1]}", 1),
        ('["[[", "]"]', "[, ]", 2),
        (r'["a\"[", "\\"]', "[, ]", 2),
        (r'["\\\"["]', "[]", 1),
        ('["open [', "[", 6),
    ],
)
def test_what_is_outside_of_strings(text: str, outside: str, longest: int) -> None:
    assert outside_strings(text) == (outside, longest)


def test_brackets_are_limited() -> None:
    with pytest.raises(errors.InvalidJson, match="brackets"):
        parse_object('{"a": [' + "[]," * 2**18 + "[]]}", max_depth=5)


def test_white_space_and_long_strings_cost_next_to_nothing() -> None:
    text = '{"a": "' + "x" * 8_000_000 + '",' + " " * 8_000_000 + '"b": 1}'
    start = time.process_time()
    assert parse_object(text, max_depth=5)["b"] == 1
    assert time.process_time() - start < 0.4
