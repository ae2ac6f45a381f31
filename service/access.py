"""Who may do what: two keys, predict and manage, compared in constant time. Knows no routes."""

import hashlib
import hmac
from dataclasses import dataclass
from enum import Enum

from service.errors import Forbidden, Unauthorized
from service.settings import Settings


class Scope(Enum):
    """What a request is about to do."""

    PREDICT = "predict"
    MANAGE = "manage"


@dataclass(frozen=True, slots=True)
class Keys:
    """Digests of the keys, so that comparing takes the same time whatever was sent."""

    predict: bytes
    manage: bytes

    def check(self, presented: str | None, scope: Scope) -> None:
        """Let a request with this bearer token pass, or raise.

        Raises:
            Unauthorized: no key, or an unknown one.
            Forbidden: the predict key where the manage key is needed.
        """
        digest = _digest(presented or "")
        may_manage = hmac.compare_digest(digest, self.manage)
        may_predict = hmac.compare_digest(digest, self.predict)
        if not (may_manage or may_predict):
            raise Unauthorized("this server needs a key: Authorization: Bearer <key>")
        if scope is Scope.MANAGE and not may_manage:
            raise Forbidden("this key may predict, but not upload or delete")


def keys_of(settings: Settings) -> Keys | None:
    """The keys that are set; None leaves the server open, which `Settings` allows on loopback only."""
    if settings.predict_key is None or settings.manage_key is None:
        return None
    return Keys(_digest(settings.predict_key.get_secret_value()), _digest(settings.manage_key.get_secret_value()))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
