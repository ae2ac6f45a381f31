"""`mimi store check|repair|copy|backup|restore`: look after the place where the versions of all tasks are kept."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters_store.maintenance import Report
    from adapters_store.recovery import Fault

HELP = "check, repair, copy, back up or restore a store, also while servers use it"
_STORE = "a store, as for `mimi serve --store`: a path, or a sqlite, file, s3, gs or az URL"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One action, and the stores it is about."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = _action(actions, "check", "read everything; the exit status is 1 if a part cannot be read")
    check.add_argument("store", help=_STORE)
    check.add_argument("--json", action="store_true", help="print one JSON document")
    repair = _action(actions, "repair", "make a damaged store writable again, with all that can be read")
    repair.add_argument("store", help=_STORE)
    copy = _action(actions, "copy", "copy a store with its whole history into an empty place of any kind")
    copy.add_argument("store", help=_STORE)
    copy.add_argument("target", help="where the copy goes: likewise")
    backup = _action(actions, "backup", "copy a store into one new file, as of one moment")
    backup.add_argument("store", help=_STORE)
    backup.add_argument("file", type=Path, help="the file to write")
    restore = _action(actions, "restore", "put a backup in the place of a store; the old store is kept beside it")
    restore.add_argument("file", type=Path, help="a file that `mimi store backup` wrote")
    restore.add_argument("store", help=_STORE)


def run(options: argparse.Namespace) -> int:
    """Carry out the action, and say what the store holds. A check or copy that finds unreadable parts returns 1."""
    from adapters_store import maintenance

    actions: dict[str, Callable[[], Report]] = {
        "check": lambda: maintenance.check(options.store),
        "repair": lambda: maintenance.repair(options.store),
        "copy": lambda: maintenance.copy(options.store, options.target),
        "backup": lambda: maintenance.backup(options.store, options.file),
        "restore": lambda: maintenance.restore(options.file, options.store),
    }
    report = actions[options.action]()
    print(_as_json(report) if getattr(options, "json", False) else _as_text(report, options.action))
    if options.action == "repair":
        return 0
    return 0 if report.sound else 1


def _action(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
) -> argparse.ArgumentParser:
    return actions.add_parser(name, help=text, description=text, allow_abbrev=False)


def _as_json(report: "Report") -> str:
    faults = {kind: [{"where": one.where, "reason": one.reason} for one in found] for kind, found in _faults(report)}
    facts = {"generation": report.generation, "tasks": report.tasks, "versions": report.versions}
    return json.dumps({**facts, "unnamed_blobs": report.unnamed, "sound": report.sound, **faults}, indent=2)


def _as_text(report: "Report", action: str) -> str:
    found = f"generation {report.generation}: {report.tasks} tasks, {report.versions} versions"
    lines = [f"{found}, {report.unnamed} blobs without a version"]
    lines += [f"unreadable: {fault}" for _, faults in _faults(report) for fault in faults]
    if report.sound:
        lines.append("everything can be read" if action != "repair" else "nothing to repair")
        return "\n".join(lines)
    if report.log:
        lines.append(_REPAIRED if action == "repair" else "the store takes no changes: run `mimi store repair`")
    if report.blobs:
        lines.append("publish the same files again to mend versions that cannot be read")
    return "\n".join(lines)


_REPAIRED = "repaired: the store holds what could be read, and takes changes again"


def _faults(report: "Report") -> "list[tuple[str, tuple[Fault, ...]]]":
    return [("log", report.log), ("blobs", report.blobs)]
