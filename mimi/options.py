"""Command-line options made from a frozen dataclass: one for each field, with its default and its documentation.

Each choice is written down once, so the command line always has every option. The help is read from the `Attributes:`
of the dataclass's docstring. An option that is not given is not in the result, so that a preset can supply it.
"""

import argparse
import re
from collections.abc import Callable
from dataclasses import Field, fields, is_dataclass
from typing import Any, Literal, cast, get_args, get_origin

from training.fields import inside_optional, plain

_ATTRIBUTE = re.compile(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", re.MULTILINE)
_NONE = "none"


def add_options(parser: argparse.ArgumentParser, record: type, *, title: str, defaults: object | None = None) -> None:
    """Add a group with an option for each field of `record` but those that are dataclasses themselves.

    Args:
        parser: to add to.
        record: a frozen dataclass.
        title: of the group.
        defaults: a `record` whose values the help shows as defaults; left out: those of the class.
    """
    group = parser.add_argument_group(title)
    texts = {name: re.sub(r"\s+", " ", text) for name, text in _ATTRIBUTE.findall(record.__doc__ or "")}
    for field in _plain(record):
        text = f"{texts.get(field.name, '')} [{_show(getattr(defaults, field.name, field.default))}]".replace("%", "%%")
        flag = "--" + field.name.replace("_", "-")
        group.add_argument(flag, dest=field.name, default=argparse.SUPPRESS, help=text, **_reading(field.type))


def given(namespace: argparse.Namespace, record: type) -> dict[str, Any]:
    """The fields of `record` that the parsed arguments name, with their values."""
    return {field.name: getattr(namespace, field.name) for field in _plain(record) if field.name in namespace}


def _plain(record: type) -> list[Field[Any]]:
    return [field for field in fields(record) if not is_dataclass(field.type)]


def _reading(kind: object) -> dict[str, Any]:
    """How argparse reads a value of this type; the record itself checks its rule."""
    if (inside := inside_optional(kind)) is not None:
        return {"type": _or_none(cast(Callable[[str], object], plain(inside))), "metavar": "VALUE"}
    kind = plain(kind)
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    if get_origin(kind) is tuple:
        return {"action": _Tuple, "type": get_args(kind)[0], "nargs": "*", "metavar": "VALUE"}
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
