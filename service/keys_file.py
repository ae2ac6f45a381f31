"""The keys file: named keys with their kinds and limits, in TOML or JSON, as plain text or better as SHA-256.

    [[keys]]
    name = "ci"                 # appears in logs
    kind = "manage"             # predict, manage or metrics
    sha256 = "0c5e…"        # 64 hex digits, of the key; or: key = "at least 16 characters"
    rate = 5.0                  # requests per second, optional, as burst and concurrency; unset: the server's own

JSON has the same keys: {"keys": [{"name": "ci", "kind": "manage", "sha256": "0c5e…"}]}. A refusal names the entry
by its place and what is wrong with it, never a value, nor a word that is not known: it may be a key in a wrong place.
"""

import tomllib
from collections.abc import Callable
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from adapters_store import ArtifactError
from adapters_store.strict_json import parse_object
from service.access import KeyLimits, NamedKey, Scope, digest_of
from service.errors import SettingsError
from service.setting_types import Key

MOST_BYTES = 2**20
MOST_KEYS = 1000  # each is compared at every request

_DEPTH = 4


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    kind: Literal["predict", "manage", "metrics"]
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    key: Key | None = None
    rate: float | None = Field(default=None, ge=0, allow_inf_nan=False, strict=True)
    burst: int | None = Field(default=None, ge=0, strict=True)
    concurrency: int | None = Field(default=None, ge=0, strict=True)

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.sha256 is None) == (self.key is None):
            raise ValueError("give either sha256 or key")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    keys: list[_Entry] = Field(min_length=1, max_length=MOST_KEYS)


def parse(data: bytes, *, is_json: bool, limits: KeyLimits) -> list[NamedKey]:
    """The keys in a file; what an entry does not say of its limits is taken from `limits`.

    Raises:
        SettingsError: it is not such a file.
    """
    if len(data) > MOST_BYTES:
        raise SettingsError(f"a keys file has at most {MOST_BYTES} bytes")
    document = _read(data, _json if is_json else tomllib.loads, "JSON" if is_json else "TOML")
    try:
        return [_named(entry, limits) for entry in _File.model_validate(document).keys]
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(item["loc"], item["msg"]) for item in error.errors())) from None


def _read(data: bytes, loads: Callable[[str], object], name: str) -> object:
    try:
        return loads(data.decode())
    except (ValueError, ArtifactError, RecursionError):  # their words may show a piece of the file
        raise SettingsError(f"not {name} in UTF-8") from None


def _json(text: str) -> object:
    return parse_object(text, max_depth=_DEPTH)


def _named(entry: _Entry, limits: KeyLimits) -> NamedKey:
    digest = digest_of(entry.key.get_secret_value()) if entry.key else bytes.fromhex(entry.sha256 or "")
    own = KeyLimits(
        limits.rate if entry.rate is None else entry.rate,
        limits.burst if entry.burst is None else entry.burst,
        limits.concurrency if entry.concurrency is None else entry.concurrency,
    )
    return NamedKey(entry.name, Scope(entry.kind), digest, own)


def _explain(where: tuple[int | str, ...], what: str) -> str:
    known = {"keys", *_Entry.model_fields}
    place = ".".join(str(step) for step in where if isinstance(step, int) or step in known)
    return f"{place}: {what.removeprefix('Value error, ')}" if place else what
