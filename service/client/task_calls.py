"""Tasks as a whole: listed, described, published, deleted; and whether the server is there. Each is a call."""

import json

from service.client.calls import Call, Repeat, Reply, document
from service.client.inputs import File, checksum, precondition, read_file, task_path
from service.schemas import Health, TaskDetail, TaskList, UploadAnswer


def tasks() -> Call[TaskList]:
    """All published tasks; those that cannot be served have a reason."""
    return Call("GET", "/v1/tasks", document(TaskList))


def task(name: str) -> Call[TaskDetail]:
    """Everything about one task: description, labels, cost, provenance, aliases, versions, generation.

    Raises:
        InvalidArgument: this is no task id.
    """
    return Call("GET", task_path(name), document(TaskDetail))


def upload(
    name: str,
    file: File,
    *,
    dry_run: bool = False,
    activate: bool = True,
    sha256: str | None = None,
    generation: int | None = None,
) -> Call[UploadAnswer]:
    """Publish a task adapter file; it answers predictions when this returns.

    A checksum always goes with the file, so damaged bytes are never published. Sending the same bytes twice gives the
    same version, so the call is repeated if its answer was lost.

    Args:
        name: the task's id.
        file: the bytes of the file, or a path to it.
        dry_run: have everything checked, and nothing published.
        activate: point the live alias at it; False: publish the version only.
        sha256: the file's, in hex, if known from elsewhere: another file is not sent.
        generation: the task's, as last seen: Conflict if it has changed since. 0: it must not exist yet.

    Raises:
        InvalidArgument: this is no task id, or the file has another SHA-256.
        OSError: the file cannot be read.
    """
    data = read_file(file)
    chosen = (("dry_run", "true"),) if dry_run else ()
    quiet = () if activate else (("activate", "false"),)
    kind = {"Content-Type": "application/octet-stream"}
    headers = {**kind, **checksum(data, sha256), **precondition(generation)}
    return Call("PUT", task_path(name), document(UploadAnswer), query=(*chosen, *quiet), headers=headers, content=data)


def describe(name: str, text: str, *, generation: int | None = None) -> Call[TaskDetail]:
    """Replace the description in a task's file by another.

    Args:
        name: the task's id.
        text: one line; empty: the file's own words again.
        generation: the task's, as last seen: Conflict if it has changed since.

    Raises:
        InvalidArgument: this is no task id.
    """
    headers = {"Content-Type": "application/json", **precondition(generation)}
    content = json.dumps({"description": text}).encode()
    again = repeat(generation)
    return Call("PATCH", task_path(name), document(TaskDetail), headers=headers, content=content, repeat=again)


def delete_task(name: str, *, generation: int | None = None) -> Call[None]:
    """Delete a task with all its versions.

    Args:
        name: the task's id.
        generation: the task's, as last seen: Conflict if it has changed since.

    Raises:
        InvalidArgument: this is no task id.
    """
    return Call("DELETE", task_path(name), _nothing, headers=precondition(generation), repeat=repeat(generation))


def repeat(generation: int | None) -> Repeat:
    """A change may be repeated if its precondition prevents a second effect."""
    return Repeat.UNDONE if generation is None else Repeat.ALWAYS


def live() -> Call[Health]:
    """The process answers."""
    return Call("GET", "/health/live", document(Health), repeat=Repeat.NEVER)


def ready() -> Call[Health]:
    """The server takes work."""
    return Call("GET", "/health/ready", document(Health), repeat=Repeat.NEVER)


def _nothing(_: Reply) -> None:
    return None
