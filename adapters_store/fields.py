"""One JSON object read strictly: exactly the expected keys, each of the expected type. It knows no manifest."""

from collections.abc import Iterable
from typing import TypeGuard

from adapters_store.errors import InvalidField, MissingField, UnknownField
from adapters_store.strict_json import Json, shown

LARGEST_INTEGER = 2**63 - 1


class Fields:
    """Typed access to the values of one object; errors name the path of the value."""

    def __init__(self, value: Json, where: str, expected: Iterable[str]) -> None:
        self.where = where
        self.values = _object(value, where)
        names = set(expected)
        if missing := sorted(names - self.values.keys()):
            raise MissingField(f"{where}: {missing[0]} is missing")
        if unknown := sorted(self.values.keys() - names):
            raise UnknownField(f"{where}: {shown(unknown[0])} is not known")

    def text(self, name: str, *, longest: int, multiline: bool = False) -> str:
        """Return printable text, of several lines only where asked for."""
        value = self.values[name]
        if not is_printable(value, multiline=multiline) or len(value) > longest:
            raise self.invalid(name, f"printable text of at most {longest} characters")
        return value

    def integer(self, name: str) -> int:
        """Return an integer from 0 to 2^63 - 1."""
        value = self.values[name]
        if not is_natural(value):
            raise self.invalid(name, "an integer of 0 or more")
        return value

    def number(self, name: str) -> float:
        """Return a number of 0 or more; it is finite, as all JSON here is."""
        value = self.values[name]
        if not is_number(value) or value < 0:
            raise self.invalid(name, "a number of 0 or more")
        return float(value)

    def integers(self, name: str) -> tuple[int, ...]:
        """Return a list of integers of 0 or more."""
        value = self.values[name]
        numbers = tuple(item for item in value if is_natural(item)) if isinstance(value, list) else None
        if numbers is None or not isinstance(value, list) or len(numbers) != len(value):
            raise self.invalid(name, "a list of integers of 0 or more")
        return numbers

    def numbers(self, name: str) -> dict[str, float]:
        """Return an object of numbers under printable names."""
        values = _object(self.values[name], f"{self.where}.{name}")
        numbers = {key: float(value) for key, value in values.items() if is_number(value) and is_printable(key)}
        if len(numbers) != len(values):
            raise self.invalid(name, "an object of numbers")
        return numbers

    def invalid(self, name: str, needed: str) -> InvalidField:
        """Return the error for a value that is not what is needed."""
        return InvalidField(f"{self.where}.{name}: {shown(self.values[name])} is not {needed}")


def is_printable(value: Json, *, multiline: bool = False) -> TypeGuard[str]:
    """Tell whether a value is text without control characters, escapes or half a surrogate pair."""
    if not isinstance(value, str):
        return False
    return value.replace("\n", "").isprintable() if multiline else value.isprintable()


def is_natural(value: Json) -> TypeGuard[int]:
    """Tell whether a value is an integer from 0 to 2^63 - 1; true and false are none."""
    return type(value) is int and 0 <= value <= LARGEST_INTEGER


def is_number(value: Json) -> TypeGuard[int | float]:
    """Tell whether a value is a number; true and false are none."""
    return type(value) in (int, float)


def _object(value: Json, where: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise InvalidField(f"{where}: {shown(value)} is not an object")
    return value
