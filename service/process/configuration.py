"""Reads settings from all sources: the command line, then MIMI_ variables, then a TOML file, then defaults.

An unknown name is refused, and the error shows the nearest name that exists: a typo is found before production. The
source of each value is remembered. An error never repeats a value.

An empty variable counts as unset. Kubernetes and Docker describe a service called `mimi` or `mimi-...` to every
container beside it, in variables that begin with MIMI_ as well. These are recognised and ignored.
"""

import difflib
import logging
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import InitSettingsSource, PydanticBaseSettingsSource

from adapters_store.strict_json import shown
from service.errors import SettingsError
from service.settings import PREFIX, Settings

logger = logging.getLogger(__name__)

FILE_VARIABLE = f"{PREFIX}CONFIG"  # names the file where no option does
URL_VARIABLE = f"{PREFIX}URL"  # names the server that the command line asks; no setting of a server
DEFAULT = "default"

Values = Mapping[str, object]

_LINK = re.compile(r"(tcp|udp|sctp)://\S+")  # the value of a variable that describes a service's port
_LINK_NAME = re.compile(r"\w*_PORT(_\d+_(TCP|UDP|SCTP))?", re.ASCII)
_LINK_PART = re.compile(r"\w*_PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)", re.ASCII)
_SERVICE_PORT = re.compile(r"(\w+_SERVICE)_PORT(_\w+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings in force, and the source of each that is not a default."""

    settings: Settings
    origins: Mapping[str, str]

    def origin(self, name: str) -> str:
        """The source of a setting: an option, a variable, a file, or the default."""
        return self.origins.get(name, DEFAULT)


class _Environment(PydanticBaseSettingsSource):
    """MIMI_ variables, by their exact names, from a given environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__(Settings)
        self._environment = environment

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """One variable; lists are split where they are checked."""
        return self._environment.get(variable(field_name)), field_name, False

    def __call__(self) -> dict[str, Any]:
        """All that are set."""
        found = [self.get_field_value(field, name) for name, field in Settings.model_fields.items()]
        return {name: value for value, name, _ in found if value is not None}


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def option(name: str) -> str:
    """The command-line option of a setting."""
    return "--" + name.replace("_", "-")


def load(environment: Mapping[str, str], overrides: Values | None = None) -> Settings:
    """As `read`, the settings alone."""
    return read(environment, overrides).settings


def read(environment: Mapping[str, str], overrides: Values | None = None, file: Path | None = None) -> Configuration:
    """Combine all sources.

    Args:
        environment: variables; those with the prefix MIMI_ count.
        overrides: from the command line; None means not given.
        file: in TOML, a key for each setting; if not given, the one that MIMI_CONFIG names.

    Raises:
        SettingsError: the file cannot be read; a setting is unknown, out of range, or unsafe.
    """
    environment = _ours(environment)
    path = file or (Path(environment[FILE_VARIABLE]) if FILE_VARIABLE in environment else None)
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    in_file = _toml(path) if path is not None else {}
    _refuse_unknown(in_file, environment, path)
    from_environment, from_options = _Environment(environment)(), InitSettingsSource(Settings, given)()
    origins = {
        **dict.fromkeys(in_file, str(path)),
        **{name: variable(name) for name in from_environment},
        **{name: option(name) for name in from_options},
    }
    return Configuration(_settings({**in_file, **from_environment, **from_options}, origins), origins)


def _ours(environment: Mapping[str, str]) -> dict[str, str]:
    """The MIMI_ variables that are set, without those that describe a service to its neighbours."""
    found = {name: value for name, value in environment.items() if name.startswith(PREFIX) and value}
    foreign = {name for name, value in found.items() if _describes_a_service(name, value, found)}
    for name in sorted(foreign & {variable(name) for name in Settings.model_fields}):
        logger.warning("%s is ignored: its value describes a service's port, as Kubernetes and Docker set it", name)
    return {name: value for name, value in found.items() if name not in foreign}


def _describes_a_service(name: str, value: str, environment: Mapping[str, str]) -> bool:
    """Whether Kubernetes or Docker set this variable. If the name may be a typo of ours, its value must show it."""
    if _LINK.fullmatch(value):
        return _LINK_NAME.fullmatch(name) is not None
    if name.endswith("_SERVICE_HOST"):
        return _is_address(value)
    if port := _SERVICE_PORT.fullmatch(name):
        return value.isdecimal() and _is_address(environment.get(f"{port[1]}_HOST", ""))
    return _LINK_PART.fullmatch(name) is not None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _toml(path: Path) -> dict[str, Any]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe could last for ever
            raise SettingsError(f"{path}: not a plain file")
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))  # some editors begin a file with a byte order mark
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        place = str(error).rpartition("(")[2].rstrip(")")  # the place alone: the rest may show a piece of the file
        raise SettingsError(f"{path}: not TOML, {place}") from None


def _refuse_unknown(in_file: Iterable[str], environment: Iterable[str], path: Path | None) -> None:
    wrong = [_unknown(name, str(path), Settings.model_fields) for name in in_file if name not in Settings.model_fields]
    known = {variable(name): name for name in Settings.model_fields}
    for name in sorted(environment):
        if name not in known and name not in (FILE_VARIABLE, URL_VARIABLE):
            wrong.append(_unknown(name.removeprefix(PREFIX).lower(), shown(name), known.values()))
    if wrong:
        raise SettingsError("; ".join(wrong))


def _unknown(name: str, origin: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
    plain = name if name.isidentifier() and name.isascii() else shown(name)
    return f"{plain}: there is no such setting ({origin}); the nearest is {nearest} ({variable(nearest)})"


def _settings(values: Values, origins: Mapping[str, str]) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        wrong = [_explain(item["loc"], item["msg"], origins) for item in error.errors()]
        raise SettingsError("; ".join(wrong)) from None


def _explain(where: tuple[int | str, ...], what: str, origins: Mapping[str, str]) -> str:
    reason = what.removeprefix("Value error, ")
    if not where:
        return reason
    return f"{'.'.join(map(str, where))}: {reason} ({origins.get(str(where[0]), DEFAULT)})"
