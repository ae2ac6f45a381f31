"""Tasks as a whole: listed, described, published, deleted; and whether the server is there. Each is a call."""

import json

from service.client.calls import Call, Repeat, Reply, document
from service.client.inputs import File, Images, checksum, encoded, precondition, read_file, task_path
from service.descriptions import TaskDetail
from service.schemas import MOST_LISTED, Health, TaskList, UploadAnswer


def task_page(*, prefix: str = "", limit: int = MOST_LISTED, cursor: str | None = None) -> Call[TaskList]:
    """A page of the published tasks by name, those that cannot be served with the reason.

    Args:
        prefix: only tasks whose id begins so.
        limit: most tasks of the page.
        cursor: `next` of the page before; None: the first page.
    """
    return Call("GET", "/v1/tasks", document(TaskList), query=paging(prefix, limit, cursor))


def paging(prefix: str, limit: int, cursor: str | None) -> tuple[tuple[str, str], ...]:
    """The query parameters of a page."""
    chosen = (("prefix", prefix), ("cursor", cursor or ""))
    return (("limit", str(limit)), *((name, value) for name, value in chosen if value))


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


def add_class(
    name: str,
    label: str,
    images: Images,
    *,
    activate: bool = True,
    dry_run: bool = False,
    generation: int | None = None,
) -> Call[UploadAnswer]:
    """Add a class to a task in closed form; the result is its next version, which answers when this returns.

    Args:
        name: the task's id.
        label: of the new class.
        images: of that class alone, two at least.
        activate: point the live alias at the new version.
        dry_run: have everything checked, and nothing published.
        generation: the task's, as last seen: Conflict if it has changed since.

    Raises:
        InvalidArgument: this is no task id, or there is no image.
        OSError: a file cannot be read.
    """
    options = (*((("dry_run", "true"),) if dry_run else ()), *(() if activate else (("activate", "false"),)))
    query = (("label", label), *options)
    shape, headers, again = document(UploadAnswer), precondition(generation), repeat(generation)
    path = f"{task_path(name)}/classes"
    return Call("POST", path, shape, query=query, headers=headers, images=encoded(images), repeat=again)


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
