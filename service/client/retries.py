"""Retries of a call: whether to try again, after which delay, and until when. Waits for nothing itself.

Delays are exponential back-off with full jitter: after attempt n, a random time from 0 to first · 2^(n-1) seconds, at
most `most`. The time of Retry-After is added to it. So clients that got the same Retry-After do not return together.
"""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from service.client.calls import Call, Repeat
from service.client.errors import (
    ClientError,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidArgument,
    NotConnected,
    Overloaded,
    TooManyRequests,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The limits of a call: its total time and its number of attempts.

    Attributes:
        seconds: until the call's answer must be there, attempts and waits together.
        connect_seconds: for opening one connection.
        attempts: at most, the first included.
        first: longest wait before the second attempt, in seconds; it doubles from one to the next.
        most: longest wait, in seconds, beside what the server asks for.
        random: uniform in [0, 1).
        now: monotonic, in seconds.

    Raises:
        InvalidArgument: a time is not positive, or there is no attempt.
    """

    seconds: float = 60.0
    connect_seconds: float = 5.0
    attempts: int = 4
    first: float = 0.1
    most: float = 5.0
    random: Callable[[], float] = random.random
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        """Check the times and the attempts."""
        if not min(self.seconds, self.connect_seconds, self.first, self.most) > 0 or self.attempts < 1:
            raise InvalidArgument("times must be positive, and there must be at least one attempt")


class Attempts:
    """The attempts of one call; its time runs from the beginning."""

    def __init__(self, call: Call[object], policy: RetryPolicy) -> None:
        self._call, self._policy = call, policy
        self._ends = policy.now() + policy.seconds
        self._begun = 0
        self.request_id = uuid4().hex  # one for all of them: the server's log shows that they belong together

    def begin(self) -> None:
        """Count one more attempt."""
        self._begun += 1

    def left(self) -> float:
        """Seconds until the deadline.

        Raises:
            DeadlineExceeded: it has passed.
        """
        left = self._ends - self._policy.now()
        if left <= 0:
            raise self.late()
        return left

    def connect(self) -> float:
        """Seconds for opening a connection; raises DeadlineExceeded."""
        return min(self.left(), self._policy.connect_seconds)

    def late(self) -> DeadlineExceeded:
        """The error for a deadline that has passed."""
        return DeadlineExceeded(f"{self._call}: no answer within {self._policy.seconds:g} s")

    def named(self, error: ClientError) -> ClientError:
        """The same error, with the request's id and the number of attempts."""
        error.attempts, error.request_id = self._begun, self.request_id
        return error

    def wait_after(self, error: ClientError) -> float:
        """Seconds to wait before the next attempt.

        Raises:
            ClientError: `error` itself, if there is no next attempt: it could do harm, would not help, or would be too
            late.
        """
        self.named(error)
        if self._begun >= self._policy.attempts or not _may_repeat(self._call.repeat, error):
            raise error
        wait = self._backoff() + (getattr(error, "retry_after", None) or 0.0)
        if self._policy.now() + wait >= self._ends:
            raise error
        logger.info("%s; attempt %d follows in %.2f s", error, self._begun + 1, wait)
        return wait

    def _backoff(self) -> float:
        policy = self._policy
        return policy.random() * min(policy.most, policy.first * 2.0 ** (self._begun - 1))


def _may_repeat(repeat: Repeat, error: ClientError) -> bool:
    if isinstance(error, NotConnected | TooManyRequests):  # nothing was done
        return repeat is not Repeat.NEVER
    return repeat is Repeat.ALWAYS and isinstance(error, ConnectionFailed | Overloaded)
