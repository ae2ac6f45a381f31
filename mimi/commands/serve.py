"""The commands of whoever runs a server: `mimi serve`, `mimi config` and `mimi compile`.

Serve and config take an option for each setting; the options are made from `service.settings`. Keys have no option,
because other users of a machine can read its command lines.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mimi.errors import BadOption

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from service.configuration import Configuration

HELP = "serve every task of a store over one resident backbone"
CONFIG_HELP = "print the settings that `mimi serve` would run with, and where each came from"
COMPILE_HELP = "compile the CPU kernels, so that `mimi serve` starts with them"
MASK = "********"
_WIDTH = 44  # characters before the origin

_SECTIONS = {  # the first setting of each section, and the section's title
    "host": "where it listens, and what it serves",
    "predict_key": "who may ask",
    "image_bytes": "most of one request",
    "queue_images": "most of all requests together",
    "request_seconds": "patience",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--config`, and an option for each setting that is not secret."""
    from service.configuration import FILE_VARIABLE, option, variable
    from service.settings import Settings

    parser.usage = "%(prog)s [--config FILE] [--SETTING VALUE ...]"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    help_ = f"a TOML file with a key for each setting; variables and options win over it [none; {FILE_VARIABLE}]"
    parser.add_argument("--config", type=Path, metavar="FILE", help=help_)
    group, secrets = parser.add_argument_group("settings"), []
    for name, field in Settings.model_fields.items():
        group = parser.add_argument_group(_SECTIONS[name]) if name in _SECTIONS else group
        if secret(field):
            secrets.append(f"  {variable(name):18} {field.description}")
            continue
        text = f"{field.description} [{_default(field)}; {variable(name)}]".replace("%", "%%")
        group.add_argument(option(name), dest=name, metavar="VALUE", help=text)
    parser.epilog = "\n".join(["by variable or file only, because others can read a command line:", *secrets])


def run(options: argparse.Namespace) -> int:
    """Serve until stopped, and finish what is under way. `service.server` lists the exit statuses."""
    from service.errors import SettingsError

    try:
        settings = read(options).settings
    except SettingsError as error:
        print(f"refusing to start: {error}", file=sys.stderr)
        return 2  # the value of `service.server.REFUSED`, whose import takes seconds
    from service import server

    return server.main(settings)


def show_config(options: argparse.Namespace) -> int:
    """Print a file that `--config` reads, with secrets masked and commented out; 2 if `mimi serve` would refuse."""
    from service.errors import SettingsError

    try:
        configuration = read(options)
    except SettingsError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    print("\n".join(_lines(configuration)))
    return 0


def add_compile_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `mimi compile`: the folder, and the processors to compile for."""
    parser.add_argument("--folder", type=Path, help="where libraries are kept (default: below the user's cache folder)")
    parser.add_argument(
        "--level",
        nargs="+",
        help="instructions to compile for, several for an image that runs anywhere (default: this machine's)",
    )


def compile_kernels(options: argparse.Namespace) -> int:
    """Compile a library for each level, and print its path.

    Raises:
        BadOption: there is no such level.
    """
    from backbone.kernels import build, default_folder, level
    from backbone.kernels.build import LEVELS

    levels = options.level or [level()]
    if unknown := [each for each in levels if each not in LEVELS]:
        raise BadOption(f"--level must be one of {', '.join(LEVELS)}, not {unknown[0]!r}")
    folder = options.folder or default_folder()
    for each in levels:
        print(build(folder, each))
    return 0


def read(options: argparse.Namespace) -> "Configuration":
    """The configuration from these options, the environment, the file and the defaults.

    Raises:
        SettingsError: see `service.configuration.read`.
    """
    import os

    from service import configuration
    from service.settings import Settings

    given = {name: getattr(options, name, None) for name in Settings.model_fields}
    return configuration.read(os.environ, given, options.config)


def secret(field: "FieldInfo") -> bool:
    """Whether a setting must not be shown."""
    return "Secret" in str(field.annotation)


def unit(field: "FieldInfo") -> str:
    """The unit of a setting; empty where it has none."""
    from service.settings import Unit

    return next((item.name for item in field.metadata if isinstance(item, Unit)), "")


def _default(field: "FieldInfo") -> str:
    value = field.default
    text = "none" if value is None or value == () else f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text} {unit(field)}".strip()


def _lines(configuration: "Configuration") -> Iterator[str]:
    for name, field in type(configuration.settings).model_fields.items():
        value = getattr(configuration.settings, name)
        yield f"{_assignment(name, field, value):{_WIDTH}}  # {_remark(name, field, configuration)}"


def _assignment(name: str, field: "FieldInfo", value: object) -> str:
    if value is None:
        return f"# {name} ="
    if secret(field) or (name == "store" and _has_credentials(str(value))):
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
    return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")
