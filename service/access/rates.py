"""Limits of each key: a token bucket for its rate, and a count of its requests under way. Knows no HTTP."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.access.keys import KeyLimits, NamedKey
from service.errors import RateLimited, TooManyUnderWay

_ROUNDING = 1e-9  # requests: a client that waits exactly as long as told must not be refused by rounding


@dataclass(slots=True)
class _Use:
    """One token bucket, and the requests under way."""

    tokens: float  # requests that it may make now
    at: float  # monotonic seconds, when that was so
    running: int = 0


class Quotas:
    """The use of all keys, which survives a new keys file. Belongs to the event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._uses: dict[bytes, _Use] = {}

    @contextmanager
    def admitted(self, key: NamedKey) -> Iterator[None]:
        """Count one request of a key as under way while the context is open.

        Raises:
            TooManyUnderWay, RateLimited: it must wait.
        """
        use, limits = self._use(key), key.limits
        if limits.concurrency and use.running >= limits.concurrency:
            raise TooManyUnderWay(f"this key may have {limits.concurrency} request(s) under way", key=key.name)
        if limits.rate:
            self._take(use, key)
        use.running += 1
        try:
            yield
        finally:
            use.running -= 1

    def keep(self, digests: set[bytes]) -> None:
        """Forget the keys that are not among these."""
        self._uses = {digest: use for digest, use in self._uses.items() if digest in digests}

    def _use(self, key: NamedKey) -> _Use:
        return self._uses.setdefault(key.digest, _Use(_capacity(key.limits), self._clock()))

    def _take(self, use: _Use, key: NamedKey) -> None:
        now, limits = self._clock(), key.limits
        use.tokens = min(_capacity(limits), use.tokens + (now - use.at) * limits.rate)
        use.at = now
        if use.tokens < 1 - _ROUNDING:
            raise RateLimited(max(1, math.ceil((1 - use.tokens) / limits.rate - _ROUNDING)), key=key.name)
        use.tokens -= 1


def _capacity(limits: KeyLimits) -> float:
    return float(limits.burst or max(1, math.ceil(limits.rate)))
