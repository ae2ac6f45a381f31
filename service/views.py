"""From the registry's words to those of the API. Pure functions."""

from collections.abc import Mapping

from backbone import Backbone
from service.schemas import TaskList, TaskSummary
from service.table import Entry


def listing(table: Mapping[str, Entry], backbone: Backbone) -> TaskList:
    """All tasks by name; a task whose live alias is split shows its heaviest version."""
    tasks = [_summary(task, entry) for task, entry in sorted(table.items())]
    return TaskList(tasks=tasks, backbone=backbone.name, backbone_fingerprint=backbone.fingerprint)


def _summary(task: str, entry: Entry) -> TaskSummary:
    if entry.reason is not None:
        return TaskSummary(task=task, ready=False, reason=entry.reason)
    named, _ = max(entry.split, key=lambda choice: choice[1])
    info, classes = named.info, named.content.classes
    return TaskSummary(task=task, ready=True, version=info.version, sha256=info.sha256, classes=classes)
