"""Options of commands, made from dataclasses: one for each field, with its default and its documentation.

Each choice is written down once, so the command line always has every option. A command names a record and the title
of its options in the type of a parameter:

    def publish(file: …, server: Annotated[Connection, "Server"]) -> int: ...

`expanded` makes the function that typer reads. Help comes from the `Attributes:` of the record's docstring.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, get_args, get_origin, get_type_hints

import typer

from training.fields import documented, from_text, inside_optional, plain, plain_fields, shown

Function = Callable[..., int]
Fields = Mapping[str, Any]

Json = Annotated[bool, typer.Option("--json", help="print one JSON document, for programs")]

_METAVARS = {int: "NUMBER", float: "NUMBER", Path: "PATH", str: "TEXT"}


class _Nothing:
    """The value for `none` on the command line: for typer, None means an option that was not given."""


class Group(Protocol):
    """Several options that reach a command as one value."""

    @property
    def note(self) -> str:
        """Paragraphs of help beside the options; empty: none."""

    def parameters(self) -> Sequence[inspect.Parameter]:
        """One for each option, as typer reads it; the default of each is None."""

    def value(self, given: Fields) -> object:
        """The value that the command receives, made from the given options."""


class Record:
    """The options of a dataclass; the command receives an instance."""

    note = ""

    def __init__(self, record: type, title: str) -> None:
        self._record, self._title = record, title

    def parameters(self) -> Sequence[inspect.Parameter]:
        """See `Group`."""
        return _parameters(self._record, self._title, defaults=None)

    def value(self, given: Fields) -> object:
        """See `Group`."""
        return self._record(**given)


class Given:
    """The options of a dataclass; the command receives those that were given, so that a preset supplies the others."""

    note = ""

    def __init__(self, record: type, title: str, defaults: object) -> None:
        """Help shows the values of `defaults`."""
        self._record, self._title, self._defaults = record, title, defaults

    def parameters(self) -> Sequence[inspect.Parameter]:
        """See `Group`."""
        return _parameters(self._record, self._title, defaults=self._defaults)

    def value(self, given: Fields) -> object:
        """See `Group`."""
        return given


def expanded(function: Function) -> Callable[..., int]:
    """The same command as typer reads it: each group of options as its single options."""
    hints = get_type_hints(function, include_extras=True)
    ordered: list[inspect.Parameter] = []
    groups: dict[str, tuple[Group, Sequence[inspect.Parameter]]] = {}
    for parameter in inspect.signature(function).parameters.values():
        group = _group_of(hints[parameter.name])
        if group is None:
            ordered.append(parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        groups[parameter.name] = group, group.parameters()
        ordered += groups[parameter.name][1]

    def command(**values: object) -> int:
        for name, (group, parameters) in groups.items():
            taken = {each.name: values.pop(each.name) for each in parameters}
            given = {key: value for key, value in taken.items() if value is not None}
            values[name] = group.value({key: None if value is _Nothing else value for key, value in given.items()})
        return function(**values)

    command.__annotations__ = {}
    notes = [group.note for group, _ in groups.values() if group.note]
    command.__name__ = function.__name__
    command.__doc__ = "\n\n".join([inspect.getdoc(function) or "", *notes])
    command.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    return command


def option(name: str, help_: str, *, default: str, title: str, kind: object = str) -> inspect.Parameter:
    """One option that is None if it is not given; `default` is for help alone, and empty: none is shown."""
    more: dict[str, Any] = {"help": help_, "rich_help_panel": title, "show_default": default or False}
    flag = "--" + name.replace("_", "-")
    bare = plain(inside_optional(plain(kind)) or kind)
    annotation: object = bool if bare is bool else Path if bare is Path else str
    if bare is not bool:
        more["metavar"] = _metavar(kind)
    if bare not in (bool, Path):
        more["parser"] = _reader(kind)
    if get_origin(bare) is Literal:
        more["autocompletion"] = _choices(tuple(map(str, get_args(bare))))
    made = typer.Option(flag, **more)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[annotation | None, made],  # type: ignore[operator]
    )


def _parameters(record: type, title: str, *, defaults: object | None) -> list[inspect.Parameter]:
    texts, made = documented(record), []
    for field in plain_fields(record):
        default = shown(getattr(defaults, field.name, field.default))
        parameter = option(field.name, texts[field.name], default=_told(default), title=title, kind=field.type)
        if plain(field.type) is bool:
            parameter = _flag(parameter, both=defaults is not None, default=default == "True", title=title)
        made.append(parameter)
    return made


def _flag(parameter: inspect.Parameter, *, both: bool, default: bool, title: str) -> inspect.Parameter:
    """A switch; with `both` there is one for on and one for off, because a preset may have set it."""
    flag = "--" + parameter.name.replace("_", "-")
    names = f"{flag}/--no-{parameter.name.replace('_', '-')}" if both else flag
    text = get_args(parameter.annotation)[1].help
    told = ("on" if default else "off") if both else False
    made = typer.Option(names, help=text, rich_help_panel=title, show_default=told)
    return parameter.replace(annotation=Annotated[bool | None, made])


def _told(default: str) -> str:
    """A default in help: if there is none, the documentation says what that means."""
    return "" if default in ("none", "") else default


def _group_of(hint: object) -> Group | None:
    if get_origin(hint) is not Annotated:
        return None
    record, mark = get_args(hint)[:2]
    if isinstance(record, type) and is_dataclass(record) and isinstance(mark, str):
        return Record(record, mark)
    return mark if hasattr(mark, "parameters") and hasattr(mark, "value") else None


def _metavar(kind: object) -> str:
    if get_origin(kind) is Annotated and isinstance(name := get_args(kind)[1], str):
        return name
    bare = plain(inside_optional(plain(kind)) or kind)
    if get_origin(bare) is Literal:
        return "|".join(map(str, get_args(bare)))
    return "VALUE,…" if get_origin(bare) is tuple else _METAVARS.get(bare, "VALUE")  # type: ignore[call-overload]


def _reader(kind: object) -> Callable[[str], object]:
    def read(text: str) -> object:
        try:
            value = from_text(text, kind)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        return _Nothing if value is None else value

    return read


def _choices(choices: tuple[str, ...]) -> Callable[[str], list[str]]:
    def completed(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return completed
