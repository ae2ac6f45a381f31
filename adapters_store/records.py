"""Any of our dataclasses read back from JSON by its own annotations: exactly its fields, exactly their types.

The mirror of `strict_json.canonical`. Integers are natural numbers of 64 bits, text is printable; what else a value
must satisfy is for the caller to check.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar, get_args, get_origin

from adapters_store.errors import InvalidField, MissingField, UnknownField
from adapters_store.strict_json import Json, shown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")
Annotation = Any  # what stands behind the colon of a field; typing has no name for it
Value = Any  # what such a field holds

LARGEST_INTEGER = 2**63 - 1


def read_record(record: type[Record], value: Json, where: str) -> Record:
    """Return the record that `value` describes; errors name the path of what is wrong, beginning with `where`.

    Raises:
        MissingField, UnknownField, InvalidField: It describes none.
    """
    kinds = {field.name: field.type for field in fields(record)}
    values = _object(value, where)
    if missing := sorted(kinds.keys() - values.keys()):
        raise MissingField(f"{where}: {missing[0]} is missing")
    if unknown := sorted(values.keys() - kinds.keys()):
        raise UnknownField(f"{where}: {shown(unknown[0])} is not known")
    return record(**{name: _read(kind, values[name], f"{where}.{name}") for name, kind in kinds.items()})


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
    if origin is tuple:
        return tuple(_read(get_args(kind)[0], item, where) for item in _list(value, where))
    if origin is Mapping:
        return _mapping(get_args(kind), _object(value, where), where)
    return read_record(kind, value, where)


def _mapping(kinds: tuple[Annotation, ...], values: dict[str, Json], where: str) -> dict[Value, Value]:
    key, item = kinds
    return {
        _read(key, _number_in(name) if key is int else name, where): _read(item, value, where)
        for name, value in values.items()
    }


def _number_in(name: str) -> Json:
    """Undo what JSON does to an integer key; other text stays text, and is refused as a key."""
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
