"""`mimi config`: prints the settings that a server would run with, and where each came from."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from service.configuration import Configuration

HELP = "print the settings that `mimi serve` would run with, and where each came from"
MASK = "********"
_WIDTH = 44  # characters before the origin


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `mimi serve`."""
    from mimi.server_options import add_options

    add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Print a file that `--config` reads, with secrets masked and commented out; 2 if `mimi serve` would refuse."""
    from mimi.server_options import read
    from service.errors import SettingsError

    try:
        configuration = read(options)
    except SettingsError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    print("\n".join(_lines(configuration)))
    return 0


def _lines(configuration: "Configuration") -> Iterator[str]:
    for name, field in type(configuration.settings).model_fields.items():
        value = getattr(configuration.settings, name)
        yield f"{_assignment(name, field, value):{_WIDTH}}  # {_remark(name, field, configuration)}"


def _assignment(name: str, field: "FieldInfo", value: object) -> str:
    from mimi.server_options import secret

    if value is None:
        return f"# {name} ="
    if secret(field) or (name == "store" and _has_credentials(str(value))):
        return f'# {name} = "{MASK}"'
    return f"{name} = {_toml(value)}"


def _remark(name: str, field: "FieldInfo", configuration: "Configuration") -> str:
    from mimi.server_options import unit

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
