"""JSON as this package trusts it: no duplicate keys, no NaN, bounded depth. It knows nothing of what the JSON means."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

from adapters_store.errors import DuplicateKey, InvalidField, InvalidJson, JsonTooDeep, NonFiniteNumber

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

LONGEST_SHOWN = 60  # characters
LONGEST_INTEGER = 20  # characters: any 64-bit integer with its sign
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)  # an open string runs to the end: linear time


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
    """Return a short ASCII picture of an untrusted value, safe for messages and logs."""
    text = ascii(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."


def _check_depth(text: str, max_depth: int) -> None:
    """Count brackets outside strings before the parser recurses into them."""
    depth = 0
    for character in _STRING.sub("", text):
        if character in "[{":
            depth += 1
            if depth > max_depth:
                raise JsonTooDeep(f"JSON is nested deeper than {max_depth}")
        elif character in "]}":
            depth -= 1


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
