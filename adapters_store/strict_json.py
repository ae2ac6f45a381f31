"""JSON read strictly: no duplicate keys, no NaN, bounded depth; and dataclasses that are written as JSON and read back.

A dataclass is read by its own annotations: exactly its fields, exactly their types. Integers are natural numbers of
64 bits, text is printable. The caller checks all other conditions of a value.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard, TypeVar, get_args, get_origin

from adapters_store.errors import (
    DuplicateKey,
    InvalidField,
    InvalidJson,
    JsonTooDeep,
    MissingField,
    NonFiniteNumber,
    UnknownField,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Data = TypeVar("Data", bound="DataclassInstance")
Annotation = Any  # the type of a field as written; typing has no name for it
Value = Any  # what such a field holds

LONGEST_SHOWN = 60  # characters
LONGEST_INTEGER = 20  # characters: any 64-bit integer with its sign
_NO_BRACKETS = re.compile(r"[^\[\]{}]+")
_MOST_BRACKETS = 2**19  # each costs a step of the interpreter; 16 MP of numbers are refused long before
LARGEST_INTEGER = 2**63 - 1


def parse_object(text: str, *, max_depth: int) -> dict[str, Json]:
    """Parse one JSON object.

    Raises:
        JsonTooDeep, DuplicateKey, NonFiniteNumber, InvalidJson: The text is not acceptable.
    """
    _check_depth(text, max_depth)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_short_integer,
        )
    except ValueError as error:
        raise InvalidJson(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidJson("not a JSON object")
    return value


def canonical(value: object) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, ASCII. Dataclasses and mappings become objects.

    Raises:
        InvalidField: The value cannot be written as finite JSON.
    """
    try:
        return json.dumps(value, default=_plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidField(f"cannot be written as JSON: {error}") from error


def shown(value: object) -> str:
    """Return an untrusted value as short ASCII text, safe for messages and logs."""
    text = ascii(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."


def _check_depth(text: str, max_depth: int) -> None:
    """Count brackets outside strings before the parser recurses into them."""
    depth = 0
    brackets = _NO_BRACKETS.sub("", outside_strings(text).text)
    if len(brackets) > _MOST_BRACKETS:
        raise InvalidJson(f"JSON with more than {_MOST_BRACKETS} brackets")
    for character in brackets:
        if character in "[{":
            depth += 1
            if depth > max_depth:
                raise JsonTooDeep(f"JSON is nested deeper than {max_depth}")
        else:
            depth -= 1


class Outside(NamedTuple):
    """The parts of a JSON text outside of strings, and the length of its longest string."""

    text: str
    longest: int


def outside_strings(text: str) -> Outside:
    """Split a JSON text at its quotes, at the speed of a copy; a string without an end runs to the end of the text."""
    if "\\" in text:  # what is escaped is no quote; outside of strings nothing is, and the parser refuses it there
        text = text.replace("\\\\", "").replace('\\"', "")
    parts = text.split('"')
    return Outside("".join(parts[::2]), max(map(len, parts[1::2]), default=0))


def _unique_keys(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    unique: dict[str, Json] = {}
    for key, value in pairs:
        if key in unique:
            raise DuplicateKey(f"key {shown(key)} appears twice")
        unique[key] = value
    return unique


def _refuse_constant(name: str) -> Json:
    raise NonFiniteNumber(f"{name} is not a number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise NonFiniteNumber(f"{shown(digits)} is too large")
    return number


def _short_integer(digits: str) -> int:
    if len(digits) > LONGEST_INTEGER:
        raise InvalidJson(f"an integer of {len(digits)} characters")
    return int(digits)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} is not JSON")


def read_dataclass(kind: type[Data], value: Json, where: str) -> Data:
    """Return the instance that `value` describes; errors name the path of the wrong field, beginning with `where`.

    Raises:
        MissingField, UnknownField, InvalidField: The value does not describe an instance.
    """
    kinds = {field.name: field.type for field in fields(kind)}
    values = _object(value, where)
    if missing := sorted(kinds.keys() - values.keys()):
        raise MissingField(f"{where}: {missing[0]} is missing")
    if unknown := sorted(values.keys() - kinds.keys()):
        raise UnknownField(f"{where}: {shown(unknown[0])} is not known")
    return kind(**{name: _read(its, values[name], f"{where}.{name}") for name, its in kinds.items()})


def is_printable(value: Json) -> TypeGuard[str]:
    """Tell whether a value is one line of text, without control characters or halves of surrogate pairs."""
    return isinstance(value, str) and value.isprintable()


def _read(kind: Annotation, value: Json, where: str) -> Value:
    if kind == Json:
        return value
    if kind in _PLAIN:
        accepts, description = _PLAIN[kind]
        if not accepts(value):
            raise InvalidField(f"{where}: {shown(value)} is not {description}")
        return kind(value)
    origin: object = get_origin(kind)
    if origin is UnionType:  # of one kind and None
        (own,) = (each for each in get_args(kind) if each is not NoneType)
        return None if value is None else _read(own, value, where)
    if origin is tuple:
        return tuple(_read(get_args(kind)[0], item, where) for item in _list(value, where))
    if origin is Mapping:
        return _mapping(get_args(kind), _object(value, where), where)
    return read_dataclass(kind, value, where)


def _mapping(kinds: tuple[Annotation, ...], values: dict[str, Json], where: str) -> dict[Value, Value]:
    key, item = kinds
    return {
        _read(key, _number_in(name) if key is int else name, where): _read(item, value, where)
        for name, value in values.items()
    }


def _number_in(name: str) -> Json:
    """Turn the text of an integer key back into the integer; any other text stays, and is refused as a key."""
    return int(name) if name.isascii() and name.isdecimal() else name


def _object(value: Json, where: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise InvalidField(f"{where}: {shown(value)} is not an object")
    return value


def _list(value: Json, where: str) -> list[Json]:
    if not isinstance(value, list):
        raise InvalidField(f"{where}: {shown(value)} is not a list")
    return value


def _is_natural(value: Json) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_INTEGER


def _is_number(value: Json) -> bool:
    return type(value) in (int, float)  # true and false are no numbers


_PLAIN: Mapping[Annotation, tuple[Callable[[Json], bool], str]] = {
    str: (is_printable, "one line of printable text"),
    int: (_is_natural, "an integer from 0 to 2^63 - 1"),
    float: (_is_number, "a number"),
}
