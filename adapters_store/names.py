"""Which names are allowed, for tasks, aliases and hashes. Case is never folded: capitals are refused."""

import re

from adapters_store.store_errors import InvalidName, UnknownBlob
from adapters_store.strict_json import shown

TASK_PATTERN = "[a-z0-9][a-z0-9_-]{0,63}"
ALIAS_PATTERN = "[a-z][a-z0-9_-]{0,63}"  # no leading digit, so that an alias is never taken for a version
_TASK, _ALIAS, _SHA256 = re.compile(TASK_PATTERN), re.compile(ALIAS_PATTERN), re.compile("[0-9a-f]{64}")


def check_task(name: str) -> None:
    """Raise InvalidName unless the whole name fits `TASK_PATTERN`."""
    if not _TASK.fullmatch(name):
        raise InvalidName(f"task {shown(name)} does not fit {TASK_PATTERN}")


def check_alias(name: str) -> None:
    """Raise InvalidName unless the whole name fits `ALIAS_PATTERN`."""
    if not _ALIAS.fullmatch(name):
        raise InvalidName(f"alias {shown(name)} does not fit {ALIAS_PATTERN}")


def check_sha256(text: str) -> None:
    """Raise UnknownBlob unless the text can be a hash at all."""
    if not _SHA256.fullmatch(text):
        raise UnknownBlob(f"{shown(text)} is no SHA-256")
