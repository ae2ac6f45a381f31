"""The keys in force: those of the settings, and those of the keys file, which is read again when it changes.

A keys file is TOML or JSON. It names each key with its kind and its limits, as plain text or better as SHA-256:

    [[keys]]
    name = "ci"                 # appears in logs
    kind = "manage"             # predict, manage, metrics or feedback
    sha256 = "0c5e…"            # 64 hex digits, of the key; or: key = "at least 16 characters"
    rate = 5.0                  # requests per second, optional, as burst and concurrency; unset: the server's own

JSON has the same keys: {"keys": [{"name": "ci", "kind": "manage", "sha256": "0c5e…"}]}.

A new file takes effect as a whole or not at all. If it cannot be read or is invalid, the keys stay as they were, and
the reason is logged once. A message names an entry by its position. It never repeats a value or an unknown word,
because either may be a misplaced key.
"""

import asyncio
import hashlib
import logging
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from adapters_store import ArtifactError
from adapters_store.strict_json import parse_object
from service.access.keys import KeyLimits, Keys, NamedKey, Scope, digest_of
from service.access.rates import Quotas
from service.errors import SettingsError
from service.settings import Key, Settings

logger = logging.getLogger(__name__)

MOST_BYTES = 2**20
MOST_KEYS = 1000  # each is compared at every request

_DEPTH = 4


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    kind: Literal["predict", "manage", "metrics", "feedback"]
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


def parse_keys(data: bytes, *, is_json: bool, limits: KeyLimits) -> list[NamedKey]:
    """The keys in a file; an entry without limits of its own gets `limits`.

    Raises:
        SettingsError: it is not such a file.
    """
    if len(data) > MOST_BYTES:
        raise SettingsError(f"a keys file has at most {MOST_BYTES} bytes")
    document = _parsed(data, _json if is_json else tomllib.loads, "JSON" if is_json else "TOML")
    try:
        return [_named(entry, limits) for entry in _File.model_validate(document).keys]
    except ValidationError as error:
        raise SettingsError("; ".join(_explain(item["loc"], item["msg"]) for item in error.errors())) from None


def _parsed(data: bytes, loads: Callable[[str], object], name: str) -> object:
    try:
        return loads(data.decode("utf-8-sig"))  # some editors begin a file with a byte order mark
    except (ValueError, ArtifactError, RecursionError):  # their messages may show a piece of the file
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


class Keyring:
    """Decides who may do what, and how much of it. Belongs to the event loop."""

    def __init__(self, settings: Settings) -> None:
        """Read the keys file; raises SettingsError if it cannot be read or is invalid."""
        self.needs_key = settings.needs_key
        self._settings, self._limits = settings, KeyLimits(
            settings.key_rate, settings.key_burst, settings.key_concurrency
        )  # fmt: skip
        self._quotas = Quotas()
        self._seen = b""  # SHA-256 of the file as last read, or of the reason why it was not used
        self._keys = self._sound(_bytes(settings.keys_file)) if settings.keys_file else Keys(self._fixed())

    def knows(self, presented: str) -> bool:
        """Whether a bearer token is one of the keys, of any kind."""
        return self._keys.find(presented) is not None

    @contextmanager
    def admitted(self, presented: str | None, scope: Scope) -> Iterator[NamedKey | None]:
        """Admit a request with this bearer token; inside, it counts as one of its key's requests under way.

        Yields:
            The key; None if the server needs no keys.

        Raises:
            Unauthorized, Forbidden, QuotaExceeded: see errors.py.
        """
        if not self.needs_key:
            yield None
            return
        key = self._keys.check(presented, scope)
        with self._quotas.admitted(key):
            yield key

    async def follow(self, seconds: float) -> None:
        """Read the keys file every `seconds`, for ever."""
        path = self._settings.keys_file
        while path is not None:
            await asyncio.sleep(seconds)
            try:
                self._refresh(await asyncio.to_thread(_bytes, path))
            except SettingsError as error:
                self._report(str(error))
            except Exception as error:  # a bug of ours must be logged: it could hide a revocation
                self._report(type(error).__name__)

    def _refresh(self, data: bytes) -> None:
        digest = hashlib.sha256(data).digest()
        if digest == self._seen:
            return
        self._keys = self._sound(data)
        self._quotas.keep({key.digest for key in self._keys})
        logger.info("the keys file changed: %d keys are in force", len(list(self._keys)))

    def _sound(self, data: bytes) -> Keys:
        """The keys of a file and those of the settings; remembers the file if it is valid."""
        path = self._settings.keys_file or Path()
        keys = Keys([*self._fixed(), *parse_keys(data, is_json=path.suffix == ".json", limits=self._limits)])
        self._seen = hashlib.sha256(data).digest()
        return keys

    def _report(self, reason: str) -> None:
        digest = hashlib.sha256(reason.encode()).digest()
        if digest != self._seen:
            self._seen = digest  # logged once; any other content is read again, even the last valid one
            logger.warning("the keys file is not used, the keys stay as they were: %s", reason)

    def _fixed(self) -> list[NamedKey]:
        settings = self._settings
        given: list[tuple[Scope, SecretStr | None]] = [
            (Scope.PREDICT, settings.predict_key),
            (Scope.MANAGE, settings.manage_key),
            (Scope.METRICS, settings.metrics_key),
            (Scope.FEEDBACK, settings.feedback_key),
        ]
        return [
            NamedKey(f"{kind.value}_key", kind, digest_of(key.get_secret_value()), self._limits)
            for kind, key in given
            if key is not None
        ]


def _bytes(path: Path) -> bytes:
    """The bytes of the keys file, at most one more than are allowed."""
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
