"""Life of a batcher, and what it refuses where it cannot answer."""

from enum import Enum

from service.engine.errors import Draining, EngineDown, EngineError


class State(Enum):
    """Life of a batcher."""

    NEW = "not started"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"
    DEAD = "dead"

    def check(self) -> None:
        """See whether rows are taken.

        Raises:
            Draining, EngineDown: they are not.
        """
        if self in _REFUSALS:
            raise _REFUSALS[self](f"the engine is {self.value}")


_REFUSALS: dict[State, type[EngineError]] = {
    State.NEW: EngineDown,
    State.DEAD: EngineDown,
    State.DRAINING: Draining,
    State.STOPPED: Draining,
}
