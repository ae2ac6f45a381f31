"""One reader and validator of options: the type and the rule of a field, for code, for TOML and for the command line.

A rule is part of the field's type: `epochs: Annotated[int, at_least(1)]`. A record calls `validate` when it is made, so
every record that exists has been checked. pydantic would do this too. It is not used because it comes with the web
stack, and training runs without that.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import Field, dataclass, fields, is_dataclass
from difflib import get_close_matches
from math import isfinite
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from training.errors import BadConfig

Kinds = Mapping[str, Any]
"""Types by name, as the fields of a dataclass have them: with or without a rule."""

NONE = "none"  # on a command line: no value
_ATTRIBUTE = re.compile(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition on a value, beside its type.

    Attributes:
        text: ends the sentence "NAME must be …".
        holds: whether a value obeys.
    """

    text: str
    holds: Callable[[Any], object]


POSITIVE = Rule("positive", lambda value: value > 0)
SHARE = Rule("in (0, 1)", lambda value: 0 < value < 1)
FRACTION = Rule("in [0, 1)", lambda value: 0 <= value < 1)


def at_least(least: float) -> Rule:
    """`least` or more."""
    return Rule(f"at least {least:g}", lambda value: value >= least)


def within(least: float, most: float) -> Rule:
    """From `least` to `most`, both included."""
    return Rule(f"in [{least:g}, {most:g}]", lambda value: least <= value <= most)


def kinds_of(record: type, *, without: Collection[str] = ()) -> dict[str, Any]:
    """The types of a dataclass's fields. Fields in `without` and fields that are dataclasses are left out."""
    return {f.name: f.type for f in fields(record) if f.name not in without and not is_dataclass(f.type)}


def plain(kind: object) -> object:
    """A type without its rules, down to the members of a tuple or a union."""
    if get_origin(kind) is Annotated:
        return plain(get_args(kind)[0])
    if get_origin(kind) is tuple:
        return tuple[plain(get_args(kind)[0]), ...]  # type: ignore[misc]
    return kind


def inside_optional(kind: object) -> object | None:
    """X of a type `X | None`, None for every other type."""
    members: tuple[object, ...] = get_args(kind) if get_origin(kind) in (Union, UnionType) else ()
    return next((member for member in members if member is not type(None)), None)


def validate(record: object) -> None:
    """Check every field of a dataclass against its type and its rule.

    Raises:
        BadConfig: naming the field, the rule and the value.
    """
    for field in fields(record):  # type: ignore[arg-type]
        check(getattr(record, field.name), field.type, field.name)


def require(condition: bool, name: str, value: object, rule: str) -> None:
    """Refuse a field whose rule needs more than its own value.

    Raises:
        BadConfig: naming the field, the rule and the value.
    """
    if not condition:
        raise BadConfig(f"{name} must be {rule}, not {value}")


def checked(table: Mapping[str, object], kinds: Kinds, where: str) -> dict[str, Any]:
    """The values of a TOML table: arrays as tuples, and whole numbers as floats for fields of floats.

    Raises:
        BadConfig: an unknown key, or a value of another type or against its rule; the message begins with `where`.
    """
    return {key: _read(value, _kind(key, kinds, where), f"{where} {key}") for key, value in table.items()}


def check(value: object, kind: object, name: str) -> None:
    """Check one value, and each member of a tuple.

    Raises:
        BadConfig: naming the value by `name`.
    """
    if get_origin(kind) is Annotated:
        inner, *rules = get_args(kind)
        check(value, inner, name)
        for rule in rules:
            require(bool(rule.holds(value)), name, _shown(value), rule.text)
    elif get_origin(kind) is tuple and isinstance(value, tuple):
        for each in value:
            check(each, get_args(kind)[0], name)
    elif (inside := inside_optional(kind)) is not None:
        if value is not None:
            check(value, inside, name)
    else:
        require(_fits(value, kind), name, repr(value), _words(kind))


def plain_fields(record: type) -> list[Field[Any]]:
    """The fields of a dataclass that are not dataclasses themselves: each is one option of a command."""
    return [field for field in fields(record) if not is_dataclass(field.type)]


def documented(record: type) -> dict[str, str]:
    """The description of each field in the docstring of a dataclass, under `Attributes:`."""
    return {name: re.sub(r"\s+", " ", text) for name, text in _ATTRIBUTE.findall(record.__doc__ or "")}


def from_text(text: str, kind: object) -> object:
    """A value as a command line has it: `none` where there may be none, and several values between commas.

    Raises:
        ValueError: it is no value of this type.
    """
    kind = plain(kind)
    if (inside := inside_optional(kind)) is not None:
        return None if text == NONE else from_text(text, inside)
    if get_origin(kind) is tuple:
        return tuple(from_text(word.strip(), get_args(kind)[0]) for word in text.split(",") if word.strip())
    if get_origin(kind) is Literal:
        require(text in get_args(kind), "the value", repr(text), _words(kind))
        return text
    try:
        return kind(text)  # type: ignore[operator]
    except ValueError:
        raise ValueError(f"{text!r} is not {_words(kind)}") from None


def shown(value: object) -> str:
    """A default as help shows it; `from_text` reads it back, and an empty tuple or text is empty."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return NONE if value is None else str(value)


def _kind(key: str, kinds: Kinds, where: str) -> object:
    if key in kinds:
        return kinds[key]
    close = get_close_matches(key, kinds, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(sorted(kinds)) or 'none'}"
    raise BadConfig(f"{where}: unknown key {key!r}; {hint}")


def _read(value: object, kind: object, where: str) -> object:
    """The value as its type wants it, checked."""
    bare = plain(inside_optional(kind) or kind)
    if get_origin(bare) is tuple:
        if not isinstance(value, list):
            raise BadConfig(f"{where} must be an array, not {value!r}")
        value = tuple(_float(each, get_args(bare)[0]) for each in value)
    value = _float(value, bare)
    check(value, kind, where)
    return value


def _float(value: object, kind: object) -> object:
    return float(value) if kind is float and isinstance(value, int) and not isinstance(value, bool) else value


def _fits(value: object, kind: object) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if isinstance(value, bool):  # bool is a subclass of int, but it is no number
        return kind is bool
    if kind is float:
        return isinstance(value, int | float) and isfinite(value)
    return isinstance(value, get_origin(kind) or kind)  # type: ignore[arg-type]


def _words(kind: object) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", dict: "a table"}
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    return names.get(kind, str(kind))  # type: ignore[call-overload, no-any-return]


def _shown(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
