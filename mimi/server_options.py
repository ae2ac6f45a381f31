"""Command-line options of the server, one for each setting; they are made from `service.settings`.

Keys have no option, because other users of a machine can read its command lines.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from service.configuration import Configuration

_SECTIONS = {  # the first setting of each section, and the section's title
    "host": "where it listens, and what it serves",
    "predict_key": "who may ask",
    "image_bytes": "most of one request",
    "queue_images": "most of all requests together",
    "request_seconds": "patience",
}


def add_options(parser: argparse.ArgumentParser) -> None:
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
