"""Checks a table of a configuration against the kinds of its keys: unknown keys and wrong types are refused by name.

Kinds are types as a dataclass's fields have them. Knows nothing of what the keys mean.
"""

from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from training.compare.errors import BadConfig

Kinds = Mapping[str, Any]


def kinds_of(record: type, *, without: Collection[str] = ()) -> dict[str, Any]:
    """The kinds of a dataclass's fields, but those left out and those that are dataclasses themselves."""
    return {f.name: f.type for f in fields(record) if f.name not in without and not is_dataclass(f.type)}


def checked(table: Mapping[str, object], kinds: Kinds, where: str) -> dict[str, Any]:
    """The values of `table`, arrays as tuples and whole numbers as floats where a float is meant.

    Raises:
        BadConfig: a key that is not in `kinds`, or a value of another kind; the message begins with `where`.
    """
    return {key: _value(value, _kind(key, kinds, where), f"{where} {key}") for key, value in table.items()}


def _kind(key: str, kinds: Kinds, where: str) -> object:
    if key in kinds:
        return kinds[key]
    close = get_close_matches(key, kinds, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(sorted(kinds)) or 'none'}"
    raise BadConfig(f"{where}: unknown key {key!r}; {hint}")


def _value(value: object, kind: object, where: str) -> object:
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise BadConfig(f"{where} must be an array, not {value!r}")
        return tuple(_value(each, get_args(kind)[0], where) for each in value)
    if not _fits(value, kind):
        raise BadConfig(f"{where} must be {_words(kind)}, not {value!r}")
    return float(value) if kind is float and isinstance(value, int) else value


def _fits(value: object, kind: object) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if isinstance(kind, UnionType):
        return any(_fits(value, each) for each in get_args(kind))
    if isinstance(value, bool):  # which is an int to Python, but nobody's number
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)  # type: ignore[arg-type]


def _words(kind: object) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", dict: "a table"}
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if isinstance(kind, UnionType):
        return " or ".join(_words(each) for each in get_args(kind) if each is not type(None))
    return names.get(kind, str(kind))  # type: ignore[call-overload, no-any-return]
