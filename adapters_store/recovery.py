"""Reads a damaged log: unreadable entries are skipped, and each of them is reported.

A lost entry may have added a version, moved an alias or deleted a task. So the state of the readable entries may be
incomplete, and nothing is written before a repair (`maintenance`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from adapters_store.backend import LOG, Backend
from adapters_store.errors import CorruptLog
from adapters_store.events import Change, Event, Seeded, VersionAdded, decode_change
from adapters_store.state import State, apply


@dataclass(frozen=True, slots=True)
class Fault:
    """A part of a store that cannot be read, and why."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


def entry_name(generation: int) -> str:
    """Return the name of the entry with a number."""
    return f"{LOG}/{generation:012d}.json"


def read_entries(backend: Backend, *, after: int) -> Iterator[tuple[int, Change | CorruptLog]]:
    """Yield every entry after a generation, up to the last that is there, and an error for each unreadable one."""
    for generation in range(after + 1, last_entry(backend) + 1):
        yield generation, read_entry(backend, generation)


def last_entry(backend: Backend) -> int:
    """Return the highest number of any entry, 0 if there is none."""
    numbers = (_number(item.name) for item in backend.list(LOG))
    return max((number for number in numbers if number is not None), default=0)


def read_entry(backend: Backend, generation: int) -> Change | CorruptLog:
    """Return an entry, or why it cannot be read."""
    data = backend.get(entry_name(generation))
    if data is None:
        return CorruptLog("there is no such entry, but there are later ones")
    try:
        change = decode_change(data)
    except CorruptLog as error:
        return error
    return change if change.generation == generation else CorruptLog(f"it says it is entry {change.generation}")


def replay(state: State, entries: Iterable[tuple[int, Change | CorruptLog]]) -> tuple[State, list[Fault]]:
    """Return the state that the readable ones among the entries lead to, and what was passed over."""
    faults: list[Fault] = []
    for generation, entry in entries:
        error = entry if isinstance(entry, CorruptLog) else None
        if isinstance(entry, Change):
            if entry.previous != state.head and not faults:
                error = CorruptLog("it does not follow from the entry before it")
            try:
                state = apply_after_loss(state, entry)
            except CorruptLog as refused:
                error = refused
        if error is not None:
            faults.append(Fault(entry_name(generation), str(error)))
            state = replace(state, generation=generation)
    return state, faults


def apply_after_loss(state: State, change: Change) -> State:
    """Return the state after a change, where entries before it may have been lost.

    Raises:
        CorruptLog: The change concerns what the lost entries made.
    """
    ready = _with_numbers_used(state, change.event)
    return apply(replace(ready, generation=change.generation - 1, head=change.previous), change)


def _with_numbers_used(state: State, event: Event) -> State:
    """Return a state in which the version numbers below those of an event were given, as the lost entries did."""
    added = event.added if isinstance(event, Seeded) else (event,) if isinstance(event, VersionAdded) else ()
    tasks, retired = dict(state.tasks), dict(state.retired)
    for one in added:
        last = state.last_version(one.task)
        if one.version <= last + 1:
            continue
        if one.task in tasks:
            tasks[one.task] = replace(tasks[one.task], last_version=one.version - 1)
        else:
            retired[one.task] = one.version - 1
    return replace(state, tasks=tasks, retired=retired) if added else state


def _number(name: str) -> int | None:
    text = name.removeprefix(f"{LOG}/").removesuffix(".json")
    return int(text) if text.isascii() and text.isdecimal() else None
