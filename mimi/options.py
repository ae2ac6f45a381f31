"""Command-line options made from a frozen dataclass: one for each field, with its default and its documentation.

Each choice is written down once, where it is used; the command line cannot fall behind. Reads the `Attributes:` of
the dataclass's docstring for help. An option that is not given leaves no trace, so that presets can stand below.
"""

import argparse
import re
from collections.abc import Callable
from dataclasses import Field, fields, is_dataclass
from types import NoneType
from typing import Any, Literal, get_args, get_origin

_ATTRIBUTE = re.compile(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", re.MULTILINE)
_NONE = "none"


def add_options(parser: argparse.ArgumentParser, record: type, *, title: str) -> None:
    """Add a group with an option for each field of `record` but those that are dataclasses themselves."""
    group = parser.add_argument_group(title)
    texts = {name: re.sub(r"\s+", " ", text) for name, text in _ATTRIBUTE.findall(record.__doc__ or "")}
    for field in _plain(record):
        text = f"{texts.get(field.name, '')} [{_show(field.default)}]".replace("%", "%%")
        flag = "--" + field.name.replace("_", "-")
        group.add_argument(flag, dest=field.name, default=argparse.SUPPRESS, help=text, **_reading(field.type))


def given(namespace: argparse.Namespace, record: type) -> dict[str, Any]:
    """The fields of `record` that the parsed arguments name, with their values."""
    return {field.name: getattr(namespace, field.name) for field in _plain(record) if field.name in namespace}


def _plain(record: type) -> list[Field[Any]]:
    return [field for field in fields(record) if not is_dataclass(field.type)]


def _reading(kind: object) -> dict[str, Any]:
    """How argparse reads a value of this type."""
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    if get_origin(kind) is tuple:
        return {"action": _Tuple, "type": get_args(kind)[0], "nargs": "*", "metavar": "VALUE"}
    if NoneType in get_args(kind):
        return {"type": _or_none(get_args(kind)[0]), "metavar": "VALUE"}
    return {"type": kind, "metavar": "VALUE"}


class _Tuple(argparse.Action):
    """Values as a tuple, as a frozen record has them."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401 - as argparse declares it
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, tuple(values))


def _or_none(kind: Callable[[str], object]) -> Callable[[str], object]:
    def read(text: str) -> object:
        return None if text == _NONE else kind(text)

    read.__name__ = f"{getattr(kind, '__name__', kind)} or {_NONE}"  # argparse names it in its messages
    return read


def _show(default: object) -> str:
    if isinstance(default, tuple):
        return " ".join(map(str, default)) or "empty"
    return _NONE if default is None else str(default)
