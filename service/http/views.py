"""Builds the API's answers from what the store, the registry and the engine return. Pure functions."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from adapters_store import Answers, Manifest, TaskState, VersionInfo
from adapters_store.answers import KNOWN_METHOD
from backbone import Backbone
from service.descriptions import AnswerRules, TaskDetail, ValidationFigures, VersionDetail
from service.engine import RowResult
from service.engine.accounting import Cost
from service.engine.core import is_known
from service.http.pages import page_of_tasks, page_of_versions
from service.prediction.answers import is_sigmoid, rank
from service.prediction.predict import PARTS, Outputs, TaskOutput, timings
from service.schemas import (
    DEFAULT_TOP_K,
    AliasAnswer,
    AliasDetail,
    AliasList,
    CheckReport,
    Description,
    FanoutAnswer,
    GoldenReport,
    ImageResult,
    ListOptions,
    PredictAnswer,
    Prediction,
    PredictOptions,
    TaskAnswer,
    TaskList,
    TaskProvenance,
    TaskSummary,
    UploadAnswer,
    UploadOptions,
    VersionList,
    VersionSummary,
)
from service.tasks import splits
from service.tasks.catalogue import Described
from service.tasks.table import LoadedVersion, TaskEntry
from service.tasks.uploads import Uploaded

_GIGA = 1e9
_NOT_SEEN = "this server has not loaded it yet"


def upload(task: str, options: UploadOptions, done: Uploaded) -> UploadAnswer:
    """The result of an upload."""
    return UploadAnswer(
        task=task,
        version=done.version,
        sha256=done.sha256,
        created=done.created,
        active=options.activate,
        dry_run=options.dry_run,
        generation=done.generation,
        checks=[CheckReport.model_validate(check, from_attributes=True) for check in done.checks],
        warnings=list(done.warnings),
        golden=GoldenReport.model_validate(done.golden, from_attributes=True),
    )


def task_detail(task: str, state: TaskState, described: Described, entry: TaskEntry | None) -> TaskDetail:
    """A task: `state` is the store's view of it, `entry` this server's."""
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
        answers=_rules(described.manifest.answers),
        **{**_description(described.manifest, described.cost).model_dump(), **own},
    )


def version_list(task: str, state: TaskState, asked: ListOptions) -> VersionList:
    """A page of the versions, newest first."""
    page = page_of_versions((n for n, info in state.versions.items() if info.sha256.startswith(asked.prefix)), asked)
    listed = [_version(state.versions[int(number)], state) for number in page.entries]
    return VersionList(task=task, generation=state.generation, versions=listed, next=page.next)


def version_detail(task: str, state: TaskState, described: Described) -> VersionDetail:
    """One version with its manifest."""
    manifest = described.manifest
    return VersionDetail(
        task=task,
        generation=state.generation,
        backbone=manifest.backbone.name,
        backbone_fingerprint=manifest.backbone.fingerprint,
        servable=described.cost is not None,
        extensible=manifest.statistics is not None,
        answers=_rules(manifest.answers),
        **_version(described.info, state).model_dump(),
        **_description(manifest, described.cost).model_dump(),
    )


def _rules(answers: Answers | None) -> AnswerRules | None:
    if answers is None:
        return None
    figures = answers.validation
    return AnswerRules(
        activation=answers.activation,
        temperature=answers.temperature,
        thresholds=list(answers.thresholds),
        known_method=None if answers.known is None else KNOWN_METHOD,
        known_share=None if answers.known is None else answers.known.true_positive_rate,
        validation=None if figures is None else ValidationFigures.model_validate(figures, from_attributes=True),
    )


def alias_list(task: str, state: TaskState) -> AliasList:
    """All aliases by name."""
    return AliasList(task=task, generation=state.generation, aliases=_aliases(state.aliases))


def alias_answer(task: str, alias: str, split: splits.Split, generation: int) -> AliasAnswer:
    """The versions that one alias points at."""
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


def predict_answer(outputs: Outputs, options: PredictOptions) -> PredictAnswer:
    """The answer of one task."""
    (task,) = outputs.tasks
    return PredictAnswer(
        task=task.served.task,
        version=task.served.info.version,
        sha256=task.served.info.sha256,
        results=_results(task, options),
        timings=timings(outputs),
    )


def fanout_answer(outputs: Outputs, options: PredictOptions) -> FanoutAnswer:
    """The answers of many tasks."""
    answers = [
        TaskAnswer(
            task=task.served.task,
            version=task.served.info.version,
            sha256=task.served.info.sha256,
            results=_results(task, options),
        )
        for task in outputs.tasks
    ]
    return FanoutAnswer(answers=answers, timings=timings(outputs))


def _results(task: TaskOutput, options: PredictOptions) -> list[ImageResult]:
    return [image_result(result, task.served, options) for result in task.results]


def image_result(result: RowResult, served: LoadedVersion, options: PredictOptions) -> ImageResult:
    """The answer to one image, of the kind asked for."""
    output = options.output or "probabilities"
    named = _named(result.logits, served.manifest, options) if output == "probabilities" else _Named()
    return ImageResult(
        predictions=named.predictions,
        labels=named.labels,
        known=None if result.unknown is None else is_known(result.unknown),
        unknown_score=result.unknown,
        logits=result.logits.tolist() if output == "logits" else None,
        features=result.features.tolist() if output == "features" else None,
        gflops_spent=result.flops_spent / _GIGA,
        gflops_saved=result.flops_saved / _GIGA,
        gflops_shared=result.flops_shared / _GIGA,
        trunk_share=round(result.flops_shared / (result.flops_spent + result.flops_shared), PARTS),
    )


class _Named(NamedTuple):
    predictions: list[Prediction] | None = None
    labels: list[str] | None = None


def _named(logits: np.ndarray, manifest: Manifest, options: PredictOptions) -> _Named:
    """The most probable labels first, and those that reach their threshold."""
    (probabilities, order, given), labels = rank(logits, manifest, options.threshold), manifest.labels
    best = order[: options.top_k or DEFAULT_TOP_K]
    if given is not None and options.top_k is None and is_sigmoid(manifest):
        best = given
    return _Named(
        [Prediction(label=labels[i], index=i, probability=probabilities[i]) for i in best],
        None if given is None else [labels[i] for i in given],
    )


def listing(table: Mapping[str, TaskEntry], backbone: Backbone, asked: ListOptions) -> TaskList:
    """A page of the tasks by name; a split task shows the version with the largest share."""
    page = page_of_tasks(table, asked)
    tasks = [_summary(task, table[task]) for task in page.entries]
    return TaskList(tasks=tasks, next=page.next, backbone=backbone.name, backbone_fingerprint=backbone.fingerprint)


def _summary(task: str, entry: TaskEntry) -> TaskSummary:
    if entry.reason is not None:
        return TaskSummary(task=task, ready=False, reason=entry.reason)
    named, _ = max(entry.split, key=lambda choice: choice[1])
    info, content = named.info, named.content
    weights = splits.shares({choice.info.version: weight for choice, weight in entry.split})
    return TaskSummary(
        task=task,
        ready=True,
        version=info.version,
        sha256=info.sha256,
        bytes=info.size,
        shares={str(version): share for version, share in weights.items()},
        classes=content.classes,
        live_sites=content.live_sites,
        gflops_saved=None if content.flops_saved is None else content.flops_saved / _GIGA,
    )
