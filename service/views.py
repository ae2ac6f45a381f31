"""From the registry's words to those of the API. Pure functions."""

from collections.abc import Mapping

from backbone import Backbone
from service.registry import Entry, Served, Uploaded
from service.schemas import GoldenReport, TaskDetail, TaskList, TaskProvenance, TaskSummary, UploadAnswer

CHECKED = ["container", "manifest", "tensors", "backbone", "preprocessing", "shapes", "golden sample"]
_GIGA = 1e9


def listing(table: Mapping[str, Entry], backbone: Backbone) -> TaskList:
    """All tasks by name; a task whose live alias is split shows its heaviest version."""
    tasks = [_summary(task, entry) for task, entry in sorted(table.items())]
    return TaskList(tasks=tasks, backbone=backbone.name, backbone_fingerprint=backbone.fingerprint)


def _summary(task: str, entry: Entry) -> TaskSummary:
    if entry.reason is not None:
        return TaskSummary(task=task, ready=False, reason=entry.reason)
    served, _ = max(entry.split, key=lambda choice: choice[1])
    info, classes = served.info, len(served.manifest.labels)
    return TaskSummary(task=task, ready=True, version=info.version, sha256=info.sha256, classes=classes)


def detail(served: Served) -> TaskDetail:
    """One version of a task."""
    manifest, cost = served.manifest, served.resident.cost
    live = [site for site, width in enumerate(manifest.widths) if width]
    return TaskDetail(
        task=served.task,
        version=served.info.version,
        sha256=served.info.sha256,
        bytes=served.info.size,
        description=manifest.description,
        labels=list(manifest.labels),
        widths=list(manifest.widths),
        live_sites=len(live),
        first_live_site=live[0] if live else None,
        gflops=cost.spent / _GIGA,
        gflops_saved=cost.saved / _GIGA,
        provenance=TaskProvenance.model_validate(manifest.provenance, from_attributes=True),
    )


def upload(task: str, uploaded: Uploaded) -> UploadAnswer:
    """What an upload led to."""
    return UploadAnswer(
        task=task,
        version=uploaded.info.version,
        sha256=uploaded.info.sha256,
        created=uploaded.created,
        checked=CHECKED,
        golden=GoldenReport.model_validate(uploaded.golden, from_attributes=True),
    )
