"""The commands for operators: `mimi serve`, `mimi config` and `mimi compile`.

Serve and config take an option for each setting; the options are made from `service.settings`. Keys have no option,
because other users of a machine can read its command lines.
"""

import inspect
import json as json_
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from mimi.errors import BadOption
from mimi.parameters import Fields, Json, option
from mimi.terminal import fail, print_json, progress

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from service.process.configuration import Configuration

REFUSED = 2  # the value of `service.process.server.REFUSED`, whose import takes seconds
MASK = "********"
_WIDTH = 44  # characters before the origin

SECTIONS = {  # the first setting of each section, and the section's title
    "host": "Where it listens, and what it serves",
    "predict_key": "Who may ask",
    "image_bytes": "Most of one request",
    "queue_images": "Most of all requests together",
    "request_seconds": "Patience",
}


class SettingOptions:
    """An option for each setting that is not secret, from `service.settings`: text, default, unit and variable."""

    @property
    def note(self) -> str:
        """The settings that have no option."""
        from service.process.configuration import variable
        from service.settings import Settings

        secrets = {variable(name): field.description for name, field in Settings.model_fields.items() if secret(field)}
        listed = "\n\n".join(f"{name}: {text}" for name, text in secrets.items())
        return f"By variable or file only, because others can read a command line:\n\n{listed}"

    def parameters(self) -> Sequence[inspect.Parameter]:
        """See `mimi.parameters.Group`."""
        from service.process.configuration import variable
        from service.settings import Settings

        title, made = "", []
        for name, field in Settings.model_fields.items():
            title = SECTIONS.get(name, title)
            if not secret(field):
                default = f"{_default(field)}; {variable(name)}"
                made.append(_setting(name, str(field.description), default=default, title=title))
        return made

    def value(self, given: Fields) -> Fields:
        """See `mimi.parameters.Group`."""
        return given


def _setting(name: str, text: str, *, default: str, title: str) -> inspect.Parameter:
    return option(name, text, default=default, title=title, kind=Annotated[str, "VALUE"])


_CONFIG = "a TOML file with a key for each setting; variables (MIMI_CONFIG names one, too) and options win over it"
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help=_CONFIG)]


def serve(settings: Annotated[Fields, SettingOptions()], config: ConfigFile = None) -> int:
    """Serve every task of a store over one resident backbone, until stopped; then finish what is under way.

    Exit status: 0 stopped by a signal, 1 could not start, 2 refused its settings, 3 the engine died: start again.
    """
    from service.errors import SettingsError

    try:
        read_settings = read(settings, config).settings
    except SettingsError as error:
        return _refused(f"refusing to start: {error}")
    from service.process import server

    return server.main(read_settings)


def config(settings: Annotated[Fields, SettingOptions()], config: ConfigFile = None, json: Json = False) -> int:
    """Print the settings that `mimi serve` would run with, and where each came from; 2 if it would refuse them.

    The output is a file that `--config` reads. Secrets are masked and commented out.
    """
    from service.errors import SettingsError

    try:
        configuration = read(settings, config)
    except SettingsError as error:
        return _refused(f"refused: {error}")
    if json:
        print_json({name: {"value": value, "origin": origin} for name, value, origin in _values(configuration)})
    else:
        print("\n".join(_lines(configuration)))
    return 0


def _refused(text: str) -> int:
    from mimi.errors import next_step
    from service.errors import SettingsError

    fail(text, next_step(SettingsError()))
    return REFUSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Libraries:
    """Which libraries to make, and where.

    Attributes:
        folder: where libraries are kept; none: below the user's cache folder.
        level: instructions to compile for, several between commas for an image that runs anywhere; none: this
            machine's.
    """

    folder: Path | None = None
    level: Annotated[tuple[str, ...], "LEVEL,…"] = ()


def compile(libraries: Annotated[Libraries, "Options"], json: Json = False) -> int:
    """Compile the CPU kernels, a library for each level of instructions, and print the paths.

    A server with such a library computes faster from its start. It takes a second or two for each level.
    """
    from backbone.kernels import build, default_folder, level
    from backbone.kernels.build import LEVELS

    levels = libraries.level or (level(),)
    if unknown := [each for each in levels if each not in LEVELS]:
        raise BadOption(f"--level must be one of {', '.join(LEVELS)}, not {unknown[0]!r}")
    folder = libraries.folder or default_folder()
    made = {}
    with progress(len(levels), "libraries") as counted:
        for each in levels:
            made[each] = str(build(folder, each))
            counted.advance()
    if json:
        print_json(made)
    else:
        print("\n".join(made.values()))
    return 0


def read(given: Fields, file: Path | None) -> "Configuration":
    """The configuration from these options, the environment, the file and the defaults.

    Raises:
        SettingsError: see `service.process.configuration.read`.
    """
    import os

    from service.process import configuration

    return configuration.read(os.environ, given, file)


def secret(field: "FieldInfo") -> bool:
    """Whether a setting must not be shown."""
    return "Secret" in str(field.annotation)


def unit(field: "FieldInfo") -> str:
    """The unit of a setting; empty if it has none."""
    from service.settings import Unit

    return next((item.name for item in field.metadata if isinstance(item, Unit)), "")


def _default(field: "FieldInfo") -> str:
    value = field.default
    text = "none" if value is None or value == () else f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text} {unit(field)}".strip()


def _values(configuration: "Configuration") -> Iterator[tuple[str, object, str]]:
    """Each setting as a JSON value, with its origin; secrets are masked."""
    plain = configuration.settings.model_dump(mode="json")
    for name, field in type(configuration.settings).model_fields.items():
        value = plain[name]
        yield name, MASK if _masked(name, field, value) else value, configuration.origin(name)


def _masked(name: str, field: "FieldInfo", value: object) -> bool:
    return value is not None and (secret(field) or (name == "store" and _has_credentials(str(value))))


def _lines(configuration: "Configuration") -> Iterator[str]:
    for name, field in type(configuration.settings).model_fields.items():
        value = getattr(configuration.settings, name)
        yield f"{_assignment(name, field, value):{_WIDTH}}  # {_remark(name, field, configuration)}"


def _assignment(name: str, field: "FieldInfo", value: object) -> str:
    if value is None:
        return f"# {name} ="
    if _masked(name, field, value):
        return f'# {name} = "{MASK}"'
    return f"{name} = {_toml(value)}"


def _remark(name: str, field: "FieldInfo", configuration: "Configuration") -> str:
    origin = configuration.origin(name)
    return f"{unit(field)}; {origin}" if unit(field) else origin


def _has_credentials(url: str) -> bool:
    """Whether a URL has a user or a query, which may be secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    return bool(parts.scheme and ("@" in parts.netloc or parts.query))


def _toml(value: object) -> str:
    """A setting's value as TOML. For these types TOML is JSON, except for one control character."""
    plain = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
    return json_.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")
