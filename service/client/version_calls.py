"""Calls about the versions of a task, and about the aliases that point at them."""

import json
from collections.abc import Mapping
from hashlib import sha256

from service.client.calls import Call, Reply, document
from service.client.errors import InvalidAnswer, InvalidArgument
from service.client.inputs import alias_name, alias_path, precondition, task_path, version_path
from service.client.task_calls import paging, repeat
from service.descriptions import VersionDetail
from service.schemas import MOST_LISTED, AliasAnswer, AliasList, VersionList


def version_page(
    task: str, *, prefix: str = "", limit: int = MOST_LISTED, cursor: str | None = None
) -> Call[VersionList]:
    """A page of the versions of a task, newest first.

    Args:
        task: its id.
        prefix: only versions whose SHA-256 begins so, in hex.
        limit: most versions of the page.
        cursor: `next` of the page before; None: the first page.

    Raises:
        InvalidArgument: this is no task id.
    """
    query = paging(prefix, limit, cursor)
    return Call("GET", f"{task_path(task)}/versions", document(VersionList), query=query)


def version(task: str, number: int) -> Call[VersionDetail]:
    """Everything about one version; raises InvalidArgument if it cannot exist."""
    return Call("GET", version_path(task, number), document(VersionDetail))


def download(task: str, number: int) -> Call[bytes]:
    """The task adapter file of a version: exactly the bytes that were published, checked against their SHA-256.

    Raises:
        InvalidArgument: there cannot be such a version.
    """
    return Call("GET", f"{version_path(task, number)}/file", _whole)


def delete_version(task: str, number: int, *, generation: int | None = None) -> Call[int]:
    """Delete a version to which no alias points; gives the task's new generation.

    Args:
        task: its id.
        number: the version.
        generation: the task's, as last seen: Conflict if it has changed since.

    Raises:
        InvalidArgument: there cannot be such a version.
    """
    headers = precondition(generation)
    return Call("DELETE", version_path(task, number), _generation, headers=headers, repeat=repeat(generation))


def aliases(task: str) -> Call[AliasList]:
    """All aliases of a task with their targets; raises InvalidArgument if this is not a task id."""
    return Call("GET", f"{task_path(task)}/aliases", document(AliasList))


def alias(task: str, name: str) -> Call[AliasAnswer]:
    """The target of one alias; raises InvalidArgument if a name is malformed."""
    return Call("GET", alias_path(task, name), document(AliasAnswer))


def set_alias(
    task: str, name: str, target: int | Mapping[int, float], *, generation: int | None = None
) -> Call[AliasAnswer]:
    """Point an alias at a version, or split its traffic over several (a canary); in force when this returns.

    Args:
        task: its id.
        name: the alias; `live` answers predictions.
        target: the version, or a weight for each of several, in proportion to each other.
        generation: the task's, as last seen: Conflict if it has changed since.

    Raises:
        InvalidArgument: a name is malformed, or there are no weights.
    """
    if not isinstance(target, int) and not target:
        raise InvalidArgument("target: give a version, or weights")
    split = {"version": target} if isinstance(target, int) else {"weights": {str(n): w for n, w in target.items()}}
    return Call(
        "PUT",
        alias_path(task, name),
        document(AliasAnswer),
        headers={"Content-Type": "application/json", **precondition(generation)},
        content=json.dumps(split).encode(),
        repeat=repeat(generation),
    )


def delete_alias(task: str, name: str, *, generation: int | None = None) -> Call[int]:
    """Delete an alias, and leave the versions; gives the task's new generation.

    Args:
        task: its id.
        name: the alias; without `live` the task answers no more.
        generation: the task's, as last seen: Conflict if it has changed since.

    Raises:
        InvalidArgument: a name is none.
    """
    headers = precondition(generation)
    return Call("DELETE", alias_path(task, name), _generation, headers=headers, repeat=repeat(generation))


def rollback(task: str, *, alias: str = "live", generation: int | None = None) -> Call[AliasAnswer]:
    """Return an alias to what it pointed at before its last move; a second time undoes the first.

    Args:
        task: its id.
        alias: the alias.
        generation: the task's, as last seen: Conflict if it has changed since.

    Raises:
        InvalidArgument: a name is none.
    """
    return Call(
        "POST",
        f"{task_path(task)}/rollback",
        document(AliasAnswer),
        query=(("alias", alias_name(alias)),),
        headers=precondition(generation),
        repeat=repeat(generation),
    )


def _whole(reply: Reply) -> bytes:
    """The file, if its SHA-256 is that of its entity tag."""
    if reply.headers.get("etag") != f'"{sha256(reply.body).hexdigest()}"':
        raise InvalidAnswer("the file that arrived has not the SHA-256 that the server gave")
    return reply.body


def _generation(reply: Reply) -> int:
    """The generation that a change led to, from its entity tag."""
    text = reply.headers.get("etag", "").strip('"')
    if not (text.isascii() and text.isdecimal()):
        raise InvalidAnswer("the answer to a change names no generation")
    return int(text)
