"""Whether the server takes work, and why not: it is stopping, or one of its parts cannot work."""

import logging
import time
from collections.abc import Callable

from service.errors import NotReady

logger = logging.getLogger(__name__)


class Readiness:
    """Asks the parts of a server whether they can work. Safe from any thread.

    Attributes:
        failure: why the process must end; None while it may go on.
    """

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self._parts: list[tuple[str, Callable[[], bool]]] = []
        self._stopping = False
        self._drained_at: float | None = None  # monotonic seconds

    def require(self, reason: str, works: Callable[[], bool]) -> None:
        """Be ready only while `works()` is true; `reason` says what is wrong while it is not."""
        self._parts.append((reason, works))

    @property
    def stopping(self) -> bool:
        """Whether the server is stopping."""
        return self._stopping

    @property
    def ready(self) -> bool:
        """Whether work is taken."""
        return self._reason() is None

    def check(self) -> None:
        """Raise NotReady unless work is taken."""
        if (reason := self._reason()) is not None:
            raise NotReady(reason)

    def stop(self) -> None:
        """Announce the stop: requests are still answered for a while."""
        self._stopping = True

    def drain(self) -> None:
        """Take no more work from now on; requests under way go on."""
        self._stopping = True
        if self._drained_at is None:
            self._drained_at = time.monotonic()

    def fail(self, error: BaseException) -> None:
        """Note why the process must end."""
        logger.critical("the server must end: %s: %s", type(error).__name__, error)
        self.failure = error

    def drain_left(self, seconds: float) -> float:
        """The rest of `seconds` since `drain`; at least one second, to send finished answers."""
        now = time.monotonic()
        return max(1.0, seconds - (now - (self._drained_at or now)))

    def _reason(self) -> str | None:
        if self._stopping:
            return "the server is stopping"
        return next((reason for reason, works in self._parts if not works()), None)
