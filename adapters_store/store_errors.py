"""Everything that can go wrong between a caller and the store. How a home fails inside is translated to these.

This file only names what is wrong: it knows neither HTTP nor any home.

    AdaptersStoreError
    └── StoreError
        ├── InvalidName             a task or alias name outside its pattern
        ├── InvalidSplit            an alias split without versions or with a weight out of range
        ├── InvalidDescription      too long, or more than one line
        ├── UnsupportedUrl          no home for this kind of URL
        ├── NotFound
        │   ├── UnknownTask         no such task
        │   ├── UnknownVersion      the task has no such version
        │   ├── UnknownAlias        the task has no such alias
        │   └── UnknownBlob         nothing under this hash
        ├── Conflict
        │   ├── StaleGeneration     the task moved since the caller looked
        │   └── VersionInUse        an alias still points at the version
        ├── Damaged
        │   ├── CorruptBlob         the bytes no longer give their hash
        │   └── CorruptLog          an entry that cannot be read, or does not follow from the ones before
        └── HomeError
            ├── NotAStore           a link, another database, or another file where the store should be
            ├── StoreFull           no room left; nothing was changed
            └── StoreUnavailable    unreadable, read-only, locked or unreachable; nothing acknowledged was lost
"""

from adapters_store._root import AdaptersStoreError


class StoreError(AdaptersStoreError):
    """The store did not do what was asked."""


class InvalidName(StoreError):
    """A task or alias name does not fit its pattern."""


class InvalidSplit(StoreError):
    """An alias split names no version, or gives one a weight out of range."""


class InvalidDescription(StoreError):
    """A description is too long, or not one line of printable text."""


class UnsupportedUrl(StoreError):
    """No home can be opened from this kind of URL."""


class NotFound(StoreError):
    """What was asked for is not there."""


class UnknownTask(NotFound):
    """There is no such task, or it was deleted."""


class UnknownVersion(NotFound):
    """The task has no such version, or it was deleted."""


class UnknownAlias(NotFound):
    """The task has no such alias."""


class UnknownBlob(NotFound):
    """No bytes with this hash are stored."""


class Conflict(StoreError):
    """The request contradicts the state it would change."""


class StaleGeneration(Conflict):
    """The task is at another generation than the caller expects: look again.

    Attributes:
        actual: its generation now, 0 where it does not exist.
    """

    def __init__(self, task: str, expected: int, actual: int) -> None:
        super().__init__(f"task {task} is at generation {actual}, not {expected}")
        self.task, self.expected, self.actual = task, expected, actual


class VersionInUse(Conflict):
    """An alias still points at the version that should be deleted."""


class Damaged(StoreError):
    """Stored bytes are not what was written."""


class CorruptBlob(Damaged):
    """The bytes under a hash no longer give that hash."""


class CorruptLog(Damaged):
    """A log entry cannot be read, or does not follow from the entries before it."""


class HomeError(StoreError):
    """The place where the store lives failed."""


class NotAStore(HomeError):
    """The place holds something else: a link, another program's database, a file where a folder should be."""


class StoreFull(HomeError):
    """There is no room for the write; the state is as before."""


class StoreUnavailable(HomeError):
    """The home cannot be read or written just now; what was acknowledged is kept."""
