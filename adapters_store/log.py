"""The log of one backend: read to its end, extended by one entry at a time, shortened by snapshots.

A change is decided on the newest state and written under the next free number. A writer that finds the number taken
reads what the other wrote and decides again: writers never wait for each other, and every entry follows from the one
before.

Entries are chained by their hashes. So a process notices, before and after each write, that the store went back to an
earlier state. After an unreadable entry nothing is written any more. The state is then that of the readable entries
(see `recovery`).
"""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from adapters_store.backend import SNAPSHOTS, Backend
from adapters_store.errors import BackendError, CorruptLog, StoreDamaged, StoreReplaced
from adapters_store.events import Change, Event, decode_change, encode_change, hash_entry
from adapters_store.recovery import Fault, entry_name, last_entry, read_entries, replay
from adapters_store.state import State, apply, decode_state, encode_state

SNAPSHOTS_KEPT = 2  # a reader may be about to open the older one

Decision = Callable[[State], Event | None]


class Log:
    """The log of one backend, and the state that it leads to. Safe for several threads."""

    def __init__(self, backend: Backend, clock: Callable[[], float], *, snapshot_every: int) -> None:
        self._backend, self._clock, self._snapshot_every = backend, clock, snapshot_every
        self._lock = threading.RLock()
        self._faults: tuple[Fault, ...] = ()
        self._unreadable: tuple[str, bytes | None] | None = None  # name and bytes of the first faulty entry
        self._state = State()
        self.reload()

    @property
    def seen(self) -> State:
        """The state as last read, without asking the backend."""
        return self._state

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The unreadable parts of the backend and of the log that were noticed so far."""
        damage = self._backend.damage
        return ((Fault("the store's file", damage), *self._faults)) if damage else self._faults

    def reload(self) -> None:
        """Read the whole log again."""
        with self._lock:
            self._faults, self._unreadable = (), None
            self._state = self._newest_snapshot()
            self._read_on()
            self._look_beyond_gaps()

    def state(self) -> State:
        """Return the newest state; with faults, the one that the readable entries lead to.

        Raises:
            StoreReplaced: An entry that was read before is no longer there, or is another one now.
        """
        with self._lock:
            self._backend.verify()
            self._check_stands(self._state)
            self._read_on()
            return self._state

    def changes(self, after: int) -> Iterator[Change]:
        """Yield the entries after a generation up to the end of the log.

        Raises:
            CorruptLog: An entry cannot be read, or has another number.
        """
        generation = max(after, 0) + 1
        while (data := self._backend.get(entry_name(generation))) is not None:
            change = decode_change(data)
            if change.generation != generation:
                raise CorruptLog(f"entry {generation} says it is entry {change.generation}")
            yield change
            generation += 1

    def commit(self, decision: Decision) -> tuple[State, Change | None]:
        """Write the event that a decision returns; decide again whenever another writer was faster.

        Returns:
            The state afterwards, and the change that led to it, None if there was nothing to do.

        Raises:
            StoreDamaged: A part of the store cannot be read.
            StoreReplaced: The store is not the one that the state was read from; the change was taken back.
        """
        while True:
            state = self.state()
            if self.faults:
                raise StoreDamaged("; ".join(map(str, self.faults)))
            event = decision(state)
            if event is None:
                return state, None
            number, nonce = state.generation + 1, secrets.token_hex(8)
            change = Change(number, self._clock(), nonce, event, state.head)
            after = apply(state, change)  # before it is written: the log never takes what it could not read back
            if self._append(change, state):
                self._advance(after)
                return after, change

    def drop_old_snapshots(self) -> None:
        """Delete all but the newest snapshots; the log itself is kept whole."""
        for name in self._snapshot_names()[SNAPSHOTS_KEPT:]:
            self._backend.delete(name)

    def _append(self, change: Change, before: State) -> bool:
        """Write an entry. A taken number may hold this same entry: a backend that answers late is asked twice."""
        name, data = entry_name(change.generation), encode_change(change)
        if not self._backend.create(name, data) and self._backend.get(name) != data:
            return False
        try:
            self._backend.verify()
            self._check_stands(before)  # else the entry would be acknowledged, and stand behind a gap
        except StoreReplaced:
            with suppress(BackendError):
                if self._backend.get(name) == data:
                    self._backend.delete(name)
            raise
        return True

    def _advance(self, after: State) -> None:
        with self._lock:
            if self._state.generation < after.generation:
                self._state = after
        if after.generation % self._snapshot_every == 0:
            with suppress(BackendError):  # only a shortcut: the change itself is already written
                self._backend.create(snapshot_name(after.generation), encode_state(after))

    def _read_on(self) -> None:
        """Apply the entries after the known ones. With a fault, all readable entries are applied at once."""
        if self._unreadable:
            return
        try:
            for change in self.changes(self._state.generation):
                self._state = apply(self._state, change)
        except CorruptLog:
            self._pass_over_faults()
        if self._backend.damage and not self._unreadable:
            self._pass_over_faults()  # the log seems to end where an entry cannot be found

    def _look_beyond_gaps(self) -> None:
        """Look for entries behind a missing one: nothing must be written into such a gap."""
        last = last_entry(self._backend)
        if last > self._state.generation:
            self._read_on()  # another writer may have been at work
        if last > self._state.generation and not self._unreadable:
            self._pass_over_faults()

    def _pass_over_faults(self) -> None:
        name = entry_name(self._state.generation + 1)
        self._unreadable = name, self._backend.get(name)
        self._state, faults = replay(self._state, read_entries(self._backend, after=self._state.generation))
        self._faults = tuple(faults)

    def _check_stands(self, state: State) -> None:
        """Check that the last entry of a state is still in the log, and that a fault has not been mended."""
        if self._unreadable:
            if self._backend.get(self._unreadable[0]) != self._unreadable[1]:
                raise StoreReplaced("the log was damaged, and was changed since")
            return
        if not state.generation:
            return
        name = entry_name(state.generation)
        data = self._backend.get(name)
        if data is not None and hash_entry(data) == state.head:
            return
        if self._backend.damage:
            return  # the entry may be among what cannot be read
        if data is None:
            raise StoreReplaced(f"{name}, which was read before, is gone: the store went back to an earlier state")
        try:
            decode_change(data)
        except CorruptLog as error:
            self._unreadable, self._faults = (name, data), (Fault(name, str(error)),)
            return
        raise StoreReplaced(f"{name} is another entry than the one that was read before")

    def _newest_snapshot(self) -> State:
        for data in filter(None, map(self._backend.get, self._snapshot_names())):
            with suppress(CorruptLog):  # an older snapshot, or the whole log, leads to the same state
                state = decode_state(data)
                if self._leads_on(state):
                    return state
        return State()

    def _leads_on(self, state: State) -> bool:
        """Return whether a snapshot belongs to this log: the log has its last entry, or one that follows it."""
        data = self._backend.get(entry_name(state.generation))
        if data is not None:
            return hash_entry(data) == state.head
        following = self._backend.get(entry_name(state.generation + 1))
        return following is not None and decode_change(following).previous == state.head

    def _snapshot_names(self) -> list[str]:
        return sorted((item.name for item in self._backend.list(SNAPSHOTS)), reverse=True)


def snapshot_name(generation: int) -> str:
    """Return the name of the snapshot at a generation."""
    return f"{SNAPSHOTS}/{generation:012d}.json"
