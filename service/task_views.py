"""From the words of store and registry to those of the API, for everything about managing tasks. Pure functions."""

from collections.abc import Mapping
from datetime import UTC, datetime

from adapters_store import Manifest, TaskState, VersionInfo
from service import splits
from service.catalogue import Described
from service.engine.accounting import Cost
from service.schemas import Description, GoldenReport, TaskProvenance
from service.table import Entry
from service.task_schemas import (
    AliasAnswer,
    AliasDetail,
    AliasList,
    CheckReport,
    TaskDetail,
    UploadAnswer,
    VersionDetail,
    VersionList,
    VersionSummary,
)
from service.uploads import Upload, Uploaded

_GIGA = 1e9
_NOT_SEEN = "this server has not loaded it yet"


def upload(asked: Upload, done: Uploaded) -> UploadAnswer:
    """What an upload led to."""
    return UploadAnswer(
        task=asked.task,
        version=done.version,
        sha256=done.sha256,
        created=done.created,
        active=asked.activate,
        dry_run=asked.dry_run,
        generation=done.generation,
        checks=[CheckReport.model_validate(check, from_attributes=True) for check in done.checks],
        golden=GoldenReport.model_validate(done.golden, from_attributes=True),
    )


def task_detail(task: str, state: TaskState, described: Described, entry: Entry | None) -> TaskDetail:
    """A task: as the store has it, and `entry`, as this server answers for it."""
    own = {"description": state.description} if state.description else {}
    return TaskDetail(
        task=task,
        generation=state.generation,
        ready=entry is not None and entry.reason is None,
        reason=_NOT_SEEN if entry is None else entry.reason,
        served_generation=None if entry is None else entry.generation,
        version=described.info.version,
        sha256=described.info.sha256,
        bytes=described.info.size,
        aliases=_aliases(state.aliases),
        versions=_versions(state),
        **{**_description(described.manifest, described.cost).model_dump(), **own},
    )


def version_list(task: str, state: TaskState) -> VersionList:
    """All versions, newest first."""
    return VersionList(task=task, generation=state.generation, versions=_versions(state))


def version_detail(task: str, state: TaskState, described: Described) -> VersionDetail:
    """One version with what its file says."""
    manifest = described.manifest
    return VersionDetail(
        task=task,
        generation=state.generation,
        backbone=manifest.backbone.name,
        backbone_fingerprint=manifest.backbone.fingerprint,
        servable=described.cost is not None,
        **_version(described.info, state).model_dump(),
        **_description(manifest, described.cost).model_dump(),
    )


def alias_list(task: str, state: TaskState) -> AliasList:
    """All aliases by name."""
    return AliasList(task=task, generation=state.generation, aliases=_aliases(state.aliases))


def alias_answer(task: str, alias: str, split: splits.Split, generation: int) -> AliasAnswer:
    """Where one alias points."""
    return AliasAnswer(task=task, generation=generation, **_alias(alias, split).model_dump())


def _aliases(aliases: Mapping[str, splits.Split]) -> list[AliasDetail]:
    return [_alias(alias, split) for alias, split in sorted(aliases.items())]


def _alias(alias: str, split: splits.Split) -> AliasDetail:
    return AliasDetail(alias=alias, weights={str(version): share for version, share in splits.shares(split).items()})


def _versions(state: TaskState) -> list[VersionSummary]:
    return [_version(info, state) for _, info in sorted(state.versions.items(), reverse=True)]


def _version(info: VersionInfo, state: TaskState) -> VersionSummary:
    return VersionSummary(
        version=info.version,
        sha256=info.sha256,
        bytes=info.size,
        created_at=datetime.fromtimestamp(info.created_at, UTC),
        aliases=sorted(alias for alias, split in state.aliases.items() if info.version in split),
    )


def _description(manifest: Manifest, cost: Cost | None) -> Description:
    live = manifest.live_sites
    return Description(
        description=manifest.description,
        labels=list(manifest.labels),
        widths=list(manifest.widths),
        live_sites=len(live),
        first_live_site=live[0] if live else None,
        gflops=(cost.spent if cost else manifest.provenance.flops) / _GIGA,
        gflops_saved=cost.saved / _GIGA if cost else None,
        provenance=TaskProvenance.model_validate(manifest.provenance, from_attributes=True),
    )
