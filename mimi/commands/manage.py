"""Manages the tasks of a server: `mimi publish`, `tasks`, `versions`, `alias`, `rollback` and `delete`.

Each change carries the generation that was seen. So the server refuses it if somebody else was faster.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mimi.connection import Connection
from mimi.errors import BadOption
from mimi.parameters import Json

if TYPE_CHECKING:
    from service.descriptions import TaskDetail, VersionDetail
    from service.schemas import AliasDetail, TaskSummary, UploadAnswer

_OF_A_RUN = re.compile(r"adapter|size-\d+")  # names that `mimi train` gives to the files of every run
_TARGET = re.compile(r"(\d+)(?:=(\d+(?:\.\d+)?%?))?")

Task = Annotated[str, typer.Argument(metavar="TASK", help="its id")]
Server = Annotated[Connection, "Server"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """As what a file is published.

    Attributes:
        task: task id to publish it as; none: the file's name, or that of its data set for the files of a run.
        dry_run: have the server check everything, and publish nothing.
        no_activate: publish a version, and leave the live one as it is.
    """

    task: str | None = None
    dry_run: bool = False
    no_activate: bool = False


def publish(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a task adapter file, as `mimi train` writes it")],
    publication: Annotated[Publication, "Options"],
    server: Server,
    json: Json = False,
) -> int:
    """Upload a task adapter file to a server, which checks it and makes it live at once."""
    from mimi.files import read_file
    from mimi.terminal import GREEN, print_json, styled

    data = read_file(file)
    task = publication.task or _task_of(file.stem, data)
    with server.client() as client:
        answer = client.upload(task, data, activate=not publication.no_activate, dry_run=publication.dry_run)
    if json:
        print_json(answer.model_dump(mode="json"))
        return 0
    for check in answer.checks:
        print(f"{styled(f'{check.outcome:8}', GREEN)} {check.name:14} {check.detail}".rstrip())
    for warning in answer.warnings:
        print(f"warning: {warning}")
    print(f"{task} version {answer.version} ({_state(answer)})  sha256 {answer.sha256}")
    if answer.active and not answer.dry_run:
        print(f"ask it: mimi predict {task} image.png --url {server.address}")
        print(f"or:     curl --data-binary @image.png {server.address}/v1/tasks/{task}/predict")
    return 0


def tasks(
    server: Server,
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="show this one, with its neurons")] = None,
    prefix: Annotated[str, typer.Option("--prefix", metavar="TEXT", help="list those whose id begins so")] = "",
    json: Json = False,
) -> int:
    """List the tasks of a server, or show one of them."""
    from mimi.terminal import Cell, Column, format_table, print_json

    with server.client() as client:
        if task is not None:
            return _show_task(client.task(task), json=json)
        found = client.tasks(prefix=prefix)
    if json:
        print_json(found.model_dump(mode="json"))
        return 0
    columns = [
        Column("task"),
        Column("state"),
        Column("live"),
        Column("classes"),
        Column("live sites"),
        Column("KB", ".1f"),
        Column("GFLOPs saved", ".4f"),
    ]
    rows: list[list[Cell]] = [
        [each.task, _readiness(each), _shares(each), each.classes, each.live_sites, _kilobytes(each), each.gflops_saved]
        for each in found.tasks
    ]
    print(format_table(columns, rows))
    print(f"{len(rows)} tasks over {found.backbone} at {server.address}")
    return 0


def versions(
    task: Task,
    server: Server,
    version: Annotated[int | None, typer.Argument(metavar="VERSION", help="show this one alone")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="write the version's task adapter file here")
    ] = None,
    json: Json = False,
) -> int:
    """List the versions of a task, newest first; show one of them, or download its file."""
    from mimi.files import write_file
    from mimi.terminal import Cell, Column, format_table, print_json

    if out is not None and version is None:
        raise BadOption("--out writes one version: name it after the task")
    with server.client() as client:
        if version is not None:
            if out is not None:
                write_file(out, client.download(task, version))
            return _show_version(client.version(task, version), out, json=json)
        found = client.versions(task)
    if json:
        print_json(found.model_dump(mode="json"))
        return 0
    columns = [Column("version"), Column("aliases"), Column("created"), Column("bytes", ","), Column("sha256")]
    rows: list[list[Cell]] = [
        [each.version, " ".join(each.aliases), f"{each.created_at:%Y-%m-%d %H:%M}", each.bytes, each.sha256]
        for each in found.versions
    ]
    print(format_table(columns, rows))
    return 0


def alias(
    task: Task,
    server: Server,
    name: Annotated[str | None, typer.Argument(metavar="ALIAS", help="show or move this one; `live` answers")] = None,
    target: Annotated[
        list[str] | None,
        typer.Argument(metavar="TARGET", help="a version, or a split such as 3=90% 4=10%"),
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="delete the alias, and leave the versions")] = False,
    json: Json = False,
) -> int:
    """List the aliases of a task, or show one; point one at a version, split its traffic (a canary), or delete it."""
    from mimi.terminal import Column, format_table, print_json

    if delete and (name is None or target):
        raise BadOption("--delete takes the name of an alias, and no target")
    with server.client() as client:
        if name is None:
            listed = client.aliases(task).aliases
        elif delete:
            left = client.delete_alias(task, name, generation=client.task(task).generation)
            print_json({"deleted": name, "generation": left}) if json else print(f"{task}: alias {name} is deleted")
            return 0
        elif target:
            seen = client.task(task).generation
            listed = [client.set_alias(task, name, _split(target), generation=seen)]
        else:
            listed = [client.alias(task, name)]
    if json:
        print_json([each.model_dump(mode="json") for each in listed])
        return 0
    rows = [[each.alias, _weights(each)] for each in listed]
    print(format_table([Column("alias"), Column("points at")], rows))
    return 0


def rollback(
    task: Task,
    server: Server,
    alias: Annotated[str, typer.Option("--alias", metavar="ALIAS", help="which alias")] = "live",
    json: Json = False,
) -> int:
    """Return an alias to what it pointed at before its last move; a second time undoes the first."""
    from mimi.terminal import print_json

    with server.client() as client:
        answer = client.rollback(task, alias=alias, generation=client.task(task).generation)
    if json:
        print_json(answer.model_dump(mode="json"))
    else:
        print(f"{task}: {alias} points at {_weights(answer)}")
    return 0


def delete(
    task: Task,
    server: Server,
    version: Annotated[int | None, typer.Argument(metavar="VERSION", help="only this version")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
) -> int:
    """Delete a task with all its versions, or one version to which no alias points. Asks before it does."""
    with server.client() as client:
        seen = client.task(task)
        what = f"version {version} of {task}" if version else f"{task} with all {len(seen.versions)} versions"
        if not yes:
            if not sys.stdin.isatty():
                raise BadOption(f"nobody is here to confirm: --yes deletes {what}")
            typer.confirm(f"Delete {what} at {server.address}?", abort=True)
        if version:
            client.delete_version(task, version, generation=seen.generation)
        else:
            client.delete_task(task, generation=seen.generation)
    print(f"deleted: {what}")
    return 0


def _task_of(stem: str, data: bytes) -> str:
    """The file's name; for the names that every run gives to its files, that of the data set it was trained on."""
    from adapters_store import unpack
    from adapters_store.errors import ArtifactError
    from training.options import slug

    if not _OF_A_RUN.fullmatch(stem):
        return stem
    try:
        return slug(unpack(data).manifest.provenance.dataset)
    except ArtifactError:  # the server says what is wrong with it
        return stem


def _state(answer: "UploadAnswer") -> str:
    """The result of the upload in a few words."""
    if answer.dry_run:
        return "would be new; nothing was published" if answer.created else "is there already; nothing was published"
    state = "new" if answer.created else "was there already"
    return f"{state}, and is live" if answer.active else f"{state}, and not live"


def _readiness(task: "TaskSummary") -> str:
    return "ready" if task.ready else task.reason or "not ready"


def _shares(task: "TaskSummary") -> str:
    return _split_text(task.shares) if task.shares else "" if task.version is None else str(task.version)


def _kilobytes(task: "TaskSummary") -> float | None:
    return None if task.bytes is None else task.bytes / 1000


def _weights(alias: "AliasDetail") -> str:
    return _split_text(alias.weights)


def _split_text(shares: Mapping[str, float]) -> str:
    """A split as it is typed: one version alone, or each with its share."""
    if len(shares) == 1:
        return next(iter(shares))
    return " ".join(f"{number}={100 * share:.4g}%" for number, share in shares.items())


def _split(target: list[str]) -> int | dict[int, float]:
    """A version, or a weight for each of several.

    Raises:
        BadOption: it is neither.
    """
    matched = [_TARGET.fullmatch(word) for word in target]
    if len(target) == 1 and matched[0] and matched[0][2] is None:
        return int(matched[0][1])
    if not all(found and found[2] for found in matched):
        raise BadOption(f"{' '.join(target)} is neither a version nor a split such as 3=90% 4=10%")
    return {int(found[1]): float(found[2].rstrip("%")) for found in matched if found}


def _show_task(found: "TaskDetail", *, json: bool) -> int:
    from mimi.sites import neurons_chart, trunk_note
    from mimi.terminal import print_facts, print_json

    if json:
        print_json(found.model_dump(mode="json"))
        return 0
    state = "ready" if found.ready else found.reason or "not ready"
    rows = {
        "task": found.task,
        "description": found.description or "none",
        "state": state,
        "version": f"{found.version}  sha256 {found.sha256}",
        "aliases": ", ".join(f"{each.alias}: {_weights(each)}" for each in found.aliases) or "none",
        "versions": " ".join(str(each.version) for each in found.versions),
        "labels": ", ".join(found.labels),
        "GFLOPs": _cost(found),
        "generation": str(found.generation),
    }
    print_facts(rows)
    print(f"\n{neurons_chart(found.widths, found.provenance.initial_widths)}\n{trunk_note(found.widths)}")
    return 0


def _show_version(found: "VersionDetail", out: Path | None, *, json: bool) -> int:
    from mimi.terminal import print_facts, print_json

    if json:
        print_json(found.model_dump(mode="json"))
        return 0
    rows = {
        "version": f"{found.version} of {found.task}",
        "aliases": " ".join(found.aliases) or "none",
        "created": f"{found.created_at:%Y-%m-%d %H:%M:%S}",
        "servable": "yes" if found.servable else f"no: made for {found.backbone}",
        "size": f"{found.bytes:,} bytes",
        "sha256": found.sha256,
        "GFLOPs": _cost(found),
        "trained": f"by {found.provenance.method} on {found.provenance.dataset}",
        "accuracy": ", ".join(f"{name} {value:.4g}" for name, value in found.provenance.metrics.items()),
        **({"file": str(out)} if out else {}),
    }
    print_facts(rows)
    return 0


def _cost(found: "TaskDetail | VersionDetail") -> str:
    saved = "" if found.gflops_saved is None else f", {found.gflops_saved:.4f} saved by pruning"
    return f"{found.gflops:.4f} for an image{saved}"
