"""The keys in force: those of the settings, and those of the keys file, which is read again when it changes.

A new file counts as a whole or not at all: one that cannot be read, or is not sound, leaves the keys as they were,
and is reported once, without a word of what it holds.
"""

import asyncio
import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from service import keys_file
from service.access import KeyLimits, Keys, NamedKey, Scope, digest_of
from service.errors import SettingsError
from service.quotas import Quotas
from service.settings import Settings

logger = logging.getLogger(__name__)


class Keyring:
    """Decides who may do what, and how much of it. Belongs to the event loop."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError where the keys file cannot be read, or is not sound."""
        self.needs_key = settings.needs_key
        self._settings, self._limits = settings, KeyLimits(
            settings.key_rate, settings.key_burst, settings.key_concurrency
        )  # fmt: skip
        self._quotas = Quotas()
        self._seen = b""  # SHA-256 of the file as last looked at, or of the reason why it was not read
        self._keys = self._sound(_bytes(settings.keys_file)) if settings.keys_file else Keys(self._fixed())

    @contextmanager
    def admitted(self, presented: str | None, scope: Scope) -> Iterator[NamedKey | None]:
        """Let a request with this bearer token in; inside, it counts as under way.

        Yields:
            The key; None where the server is open.

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
        """Look at the keys file every so often, for ever."""
        path = self._settings.keys_file
        while path is not None:
            await asyncio.sleep(seconds)
            try:
                self._refresh(await asyncio.to_thread(_bytes, path))
            except SettingsError as error:
                self._report(str(error))
            except Exception as error:  # a bug of ours: going on with old keys in silence would hide a revocation
                self._report(type(error).__name__)

    def _refresh(self, data: bytes) -> None:
        digest = hashlib.sha256(data).digest()
        if digest == self._seen:
            return
        self._keys = self._sound(data)
        self._quotas.keep({key.digest for key in self._keys})
        logger.info("the keys file changed: %d keys are in force", len(list(self._keys)))

    def _sound(self, data: bytes) -> Keys:
        """The keys of a file with those of the settings; remembers the file if it is sound."""
        path = self._settings.keys_file or Path()
        keys = Keys([*self._fixed(), *keys_file.parse(data, is_json=path.suffix == ".json", limits=self._limits)])
        self._seen = hashlib.sha256(data).digest()
        return keys

    def _report(self, reason: str) -> None:
        digest = hashlib.sha256(reason.encode()).digest()
        if digest != self._seen:
            self._seen = digest  # said once; any other content, the last good one too, is looked at again
            logger.warning("the keys file is not used, the keys stay as they were: %s", reason)

    def _fixed(self) -> list[NamedKey]:
        settings = self._settings
        given: list[tuple[Scope, SecretStr | None]] = [
            (Scope.PREDICT, settings.predict_key),
            (Scope.MANAGE, settings.manage_key),
            (Scope.METRICS, settings.metrics_key),
        ]
        return [
            NamedKey(f"{kind.value}_key", kind, digest_of(key.get_secret_value()), self._limits)
            for kind, key in given
            if key is not None
        ]


def _bytes(path: Path) -> bytes:
    """The keys file; one that is endless is read no further than it may be long."""
    try:
        with path.open("rb") as file:
            return file.read(keys_file.MOST_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
