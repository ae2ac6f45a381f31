"""The log of one backend: read to its end, extended by one entry at a time, shortened by snapshots.

A change is decided on the newest state and written under the next free number. A writer that finds the number taken
reads what the other wrote and decides again: writers never wait for each other, and every entry follows from the one
before.
"""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from adapters_store.backend import LOG, SNAPSHOTS, Backend
from adapters_store.errors import BackendError, CorruptLog
from adapters_store.events import Change, Event, decode_change, encode_change
from adapters_store.state import State, apply, decode_state, encode_state

SNAPSHOTS_KEPT = 2  # a reader may be about to open the older one

Decision = Callable[[State], Event | None]


class Log:
    """The log of one backend, and the state that it leads to. Safe for several threads."""

    def __init__(self, backend: Backend, clock: Callable[[], float], *, snapshot_every: int) -> None:
        self._backend, self._clock, self._snapshot_every = backend, clock, snapshot_every
        self._lock = threading.Lock()
        self._state = self._newest_snapshot()

    @property
    def seen(self) -> State:
        """The state as last read, without asking the backend."""
        return self._state

    def state(self) -> State:
        """Return the newest state.

        Raises:
            CorruptLog: An entry cannot be read, or does not follow from the ones before.
        """
        with self._lock:
            for change in self.changes(self._state.generation):
                self._state = apply(self._state, change)
            return self._state

    def changes(self, after: int) -> Iterator[Change]:
        """Yield the entries after a generation up to the end of the log."""
        generation = max(after, 0) + 1
        while (data := self._backend.get(_entry_name(generation))) is not None:
            change = decode_change(data)
            if change.generation != generation:
                raise CorruptLog(f"entry {generation} says it is entry {change.generation}")
            yield change
            generation += 1

    def commit(self, decision: Decision) -> tuple[State, Change | None]:
        """Write the event that a decision returns; decide again whenever another writer was faster.

        Returns:
            The state afterwards, and the change that led to it, None where there was nothing to do.
        """
        while True:
            state = self.state()
            event = decision(state)
            if event is None:
                return state, None
            change = Change(state.generation + 1, self._clock(), secrets.token_hex(8), event)
            after = apply(state, change)  # before it is written: the log never takes what it could not read back
            if self._append(change):
                self._advance(after)
                return after, change

    def drop_old_snapshots(self) -> None:
        """Delete all but the newest snapshots; the log itself is kept whole."""
        for name in self._snapshot_names()[SNAPSHOTS_KEPT:]:
            self._backend.delete(name)

    def _append(self, change: Change) -> bool:
        """Write an entry. A taken number may hold this very entry: a backend that answers late is asked twice."""
        name, data = _entry_name(change.generation), encode_change(change)
        return self._backend.create(name, data) or self._backend.get(name) == data

    def _advance(self, after: State) -> None:
        with self._lock:
            if self._state.generation < after.generation:
                self._state = after
        if after.generation % self._snapshot_every == 0:
            with suppress(BackendError):  # only a shortcut: the change itself is already written
                self._backend.create(_snapshot_name(after.generation), encode_state(after))

    def _newest_snapshot(self) -> State:
        for name in self._snapshot_names():
            data = self._backend.get(name)
            if data is not None:
                with suppress(CorruptLog):  # an older snapshot, or the whole log, leads to the same state
                    return decode_state(data)
        return State()

    def _snapshot_names(self) -> list[str]:
        return sorted((item.name for item in self._backend.list(SNAPSHOTS)), reverse=True)


def _entry_name(generation: int) -> str:
    return f"{LOG}/{generation:012d}.json"


def _snapshot_name(generation: int) -> str:
    return f"{SNAPSHOTS}/{generation:012d}.json"
