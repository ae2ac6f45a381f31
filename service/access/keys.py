"""Named keys of four kinds, compared in constant time. Knows no routes and no files."""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from service.errors import Forbidden, SettingsError, Unauthorized


class Scope(Enum):
    """The kind of a key, and the kind of access that a request needs."""

    PREDICT = "predict"
    MANAGE = "manage"
    METRICS = "metrics"
    FEEDBACK = "feedback"


_OPENS: Mapping[Scope, frozenset[Scope]] = {
    Scope.PREDICT: frozenset({Scope.PREDICT}),
    Scope.MANAGE: frozenset(Scope),
    Scope.METRICS: frozenset({Scope.METRICS}),
    Scope.FEEDBACK: frozenset({Scope.FEEDBACK}),
}
_REFUSALS: Mapping[Scope, str] = {
    Scope.PREDICT: "this key may not read or predict",
    Scope.MANAGE: "this key may not upload, download, change or delete",
    Scope.METRICS: "this key may not read metrics",
    Scope.FEEDBACK: "this key may not add, read or delete corrections",
}


def bearer(authorization: str | None) -> str | None:
    """The key in an Authorization header (RFC 6750); None where it holds none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """Limits of one key; 0 stands for no limit.

    Attributes:
        rate: requests per second, in the long run.
        burst: requests at once after a pause; 0: those of one second, at least one.
        concurrency: requests under way at the same time.
    """

    rate: float = 0.0
    burst: int = 0
    concurrency: int = 0


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A key, by its SHA-256; the key itself is not kept."""

    name: str
    kind: Scope
    digest: bytes = field(repr=False)  # 32 bytes
    limits: KeyLimits = KeyLimits()


class Keys:
    """All keys that are valid now."""

    def __init__(self, keys: Iterable[NamedKey]) -> None:
        """Take the keys; raises SettingsError if two share a name or a value."""
        self._keys = tuple(keys)
        names = [key.name for key in self._keys]
        if len(set(names)) < len(names):
            raise SettingsError("two keys have the same name")
        if len({key.digest for key in self._keys}) < len(names):
            raise SettingsError("two keys are the same")

    def __iter__(self) -> Iterator[NamedKey]:
        """The keys, in any order."""
        return iter(self._keys)

    def find(self, presented: str | None) -> NamedKey | None:
        """The key with this bearer token; None if the token is unknown.

        Every key is compared, even after a match, so that the time taken reveals nothing.
        """
        digest, found = digest_of(presented or ""), None
        for key in self._keys:
            if hmac.compare_digest(digest, key.digest):
                found = key
        return found

    def check(self, presented: str | None, scope: Scope) -> NamedKey:
        """The key of a bearer token, if it opens this scope.

        Raises:
            Unauthorized: no key, or an unknown one.
            Forbidden: a key of another kind is needed.
        """
        found = self.find(presented)
        if found is None:
            raise Unauthorized("this server needs a key: Authorization: Bearer <key>")
        if scope not in _OPENS[found.kind]:
            raise Forbidden(_REFUSALS[scope], key=found.name)
        return found


def digest_of(key: str) -> bytes:
    """SHA-256 of a key; accepts any characters that a header can carry."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
