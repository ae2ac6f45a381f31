"""The log as a living thing: read to its end, extended by one entry at a time, shortened by snapshots.

A change is decided on the newest state and written under the next free number. Whoever finds the number taken reads
what the other wrote and decides again: writers never wait for each other, and every entry follows from the one before.
"""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from adapters_store.bucket import Bucket
from adapters_store.codec import decode_change, decode_state, encode_change, encode_state
from adapters_store.events import Change, Event
from adapters_store.log import apply
from adapters_store.state import State
from adapters_store.store_errors import CorruptLog, HomeError

ENTRIES, SNAPSHOTS = "log", "snapshots"
SNAPSHOTS_KEPT = 2  # the older one is for readers who are just about to open it

Decision = Callable[[State], Event | None]


class Journal:
    """The log of one bucket, and the state it amounts to. Safe for several threads."""

    def __init__(self, bucket: Bucket, clock: Callable[[], float], *, snapshot_every: int) -> None:
        self._bucket, self._clock, self._snapshot_every = bucket, clock, snapshot_every
        self._lock = threading.Lock()
        self._state = self._newest_snapshot()

    @property
    def seen(self) -> State:
        """The state as last read, without asking the bucket."""
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
        while (data := self._bucket.get(_entry_name(generation))) is not None:
            change = decode_change(data)
            if change.generation != generation:
                raise CorruptLog(f"entry {generation} says it is entry {change.generation}")
            yield change
            generation += 1

    def commit(self, decision: Decision) -> tuple[State, Change | None]:
        """Write what a decision leads to, deciding again whenever another writer was faster.

        Returns:
            The state afterwards, and the change that led to it; none where there was nothing to do.
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
            self._bucket.delete(name)

    def _append(self, change: Change) -> bool:
        """Write an entry; a taken number may be our own, where a home answered late and was asked twice."""
        name, data = _entry_name(change.generation), encode_change(change)
        return self._bucket.create(name, data) or self._bucket.get(name) == data

    def _advance(self, after: State) -> None:
        with self._lock:
            if self._state.generation < after.generation:
                self._state = after
        if after.generation % self._snapshot_every == 0:
            with suppress(HomeError):  # only a shortcut: the change itself is already written
                self._bucket.create(_snapshot_name(after.generation), encode_state(after))

    def _newest_snapshot(self) -> State:
        for name in self._snapshot_names():
            data = self._bucket.get(name)
            if data is not None:
                with suppress(CorruptLog):  # an older one, or the whole log, tells the same
                    return decode_state(data)
        return State()

    def _snapshot_names(self) -> list[str]:
        return sorted((item.name for item in self._bucket.list(SNAPSHOTS)), reverse=True)


def _entry_name(generation: int) -> str:
    return f"{ENTRIES}/{generation:012d}.json"


def _snapshot_name(generation: int) -> str:
    return f"{SNAPSHOTS}/{generation:012d}.json"
