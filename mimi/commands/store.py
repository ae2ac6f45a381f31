"""`mimi store check|repair|copy|verify|backup|restore`: maintain the store of all versions."""

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mimi.help import Command, Group
from mimi.parameters import Json
from mimi.terminal import working

if TYPE_CHECKING:
    from adapters_store.maintenance import Report
    from adapters_store.recovery import Fault

_STORE = "a store, as for `mimi serve --store`: a path, or a sqlite, file, s3, gs or az URL"
_NAMES = {"help_option_names": ["-h", "--help"]}

Store = Annotated[str, typer.Argument(metavar="STORE", help=_STORE)]

store = typer.Typer(
    cls=Group,
    add_completion=False,
    no_args_is_help=True,
    context_settings=_NAMES,
    help="Check, repair, copy, verify, back up or restore a store, also while servers use it.",
)


@store.command("check", cls=Command, context_settings=_NAMES)
def _check(store: Store, json: Json = False) -> int:
    """Read everything in a store; 1 if a part cannot be read."""
    from adapters_store import maintenance

    with working("working on the store"):
        report = maintenance.check(store)
    return _tell(report, "check", json=json)


@store.command("repair", cls=Command, context_settings=_NAMES)
def _repair(store: Store, json: Json = False) -> int:
    """Make a damaged store writable again, with all that can be read."""
    from adapters_store import maintenance

    with working("working on the store"):
        report = maintenance.repair(store)
    _tell(report, "repair", json=json)
    return 0


@store.command("copy", cls=Command, context_settings=_NAMES)
def _copy(
    store: Store,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="where the copy goes: likewise")],
    json: Json = False,
) -> int:
    """Copy a store with its whole history into an empty place of any kind."""
    from adapters_store import maintenance

    with working("working on the store"):
        report = maintenance.copy(store, target)
    return _tell(report, "copy", json=json)


@store.command("verify", cls=Command, context_settings=_NAMES)
def _verify(
    store: Store,
    target: Annotated[str, typer.Argument(metavar="COPY", help="a copy or a backup of it: likewise")],
    json: Json = False,
) -> int:
    """Read a copy of a store, and see whether its history is the store's; 1 if not."""
    from adapters_store import maintenance

    with working("working on the stores"):
        report = maintenance.verify(store, target)
    return _tell(report, "verify", json=json)


@store.command("backup", cls=Command, context_settings=_NAMES)
def _backup(
    store: Store,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="the file to write")],
    json: Json = False,
) -> int:
    """Copy a store into one new file, as of one moment."""
    from adapters_store import maintenance

    with working("working on the store"):
        report = maintenance.backup(store, file)
    return _tell(report, "backup", json=json)


@store.command("restore", cls=Command, context_settings=_NAMES)
def _restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a file that `mimi store backup` wrote")],
    store: Store,
    json: Json = False,
) -> int:
    """Put a backup in the place of a store; the old store is kept beside it."""
    from adapters_store import maintenance

    with working("working on the store"):
        report = maintenance.restore(file, store)
    return _tell(report, "restore", json=json)


def _tell(report: "Report", action: str, *, json: bool) -> int:
    """Say what the store holds; 1 if there are unreadable parts."""
    print(_as_json(report) if json else _as_text(report, action))
    return 0 if report.sound else 1


def _as_json(report: "Report") -> str:
    faults = {kind: [{"where": one.where, "reason": one.reason} for one in found] for kind, found in _faults(report)}
    facts = {"generation": report.generation, "tasks": report.tasks, "versions": report.versions}
    return json_.dumps({**facts, "unnamed_blobs": report.unnamed, "sound": report.sound, **faults}, indent=2)


def _as_text(report: "Report", action: str) -> str:
    found = f"generation {report.generation}: {report.tasks} tasks, {report.versions} versions"
    lines = [f"{found}, {report.unnamed} blobs without a version"]
    lines += [f"unreadable: {fault}" for _, faults in _faults(report) for fault in faults]
    if report.sound:
        lines.append("everything can be read" if action != "repair" else "nothing to repair")
        return "\n".join(lines)
    if report.log:
        lines.append(_ADVICE.get(action, "the store takes no changes: run `mimi store repair`"))
    if report.blobs:
        lines.append("publish the same files again to mend versions that cannot be read")
    return "\n".join(lines)


_ADVICE = {
    "repair": "repaired: the store holds what could be read, and takes changes again",
    "verify": "this is no copy of the store as it is now: copy it again",
}


def _faults(report: "Report") -> "list[tuple[str, tuple[Fault, ...]]]":
    return [("log", report.log), ("blobs", report.blobs)]
