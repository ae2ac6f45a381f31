"""The shapes of everything about managing tasks: uploads, versions, aliases; no behaviour."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from service.schemas import Answer, Description, GoldenReport, Sha256, TaskId

ALIAS_PATTERN = r"^[a-z][a-z0-9_-]{0,63}$"
LARGEST = 2**53 - 1  # what every JSON parser reads exactly

Alias = Annotated[str, Field(pattern=ALIAS_PATTERN, examples=["live"])]
Number = Annotated[int, Field(ge=1, le=LARGEST, description="version number", examples=[3])]
NumberText = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,14}$")]
Generation = Annotated[int, Field(ge=0, description="of the task; it grows with each change, and is its ETag")]
Shares = Annotated[dict[NumberText, float], Field(description="part of the traffic of each version; 1 together")]


class UploadOptions(BaseModel):
    """Options of an upload, as query parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dry_run: bool = Field(default=False, description="check everything, publish nothing")
    activate: bool = Field(default=True, description="point the live alias at it; false: publish the version only")


class CheckReport(Answer):
    """One check of an upload; a check that fails refuses the upload, and the problem names it."""

    name: str = Field(examples=["golden sample"])
    outcome: Literal["passed", "skipped"]
    detail: str = Field(description="what was found, or why the check was skipped; may be empty")


class UploadAnswer(Answer):
    """What an upload led to, or would lead to."""

    task: TaskId
    version: int = Field(ge=1)
    sha256: Sha256
    created: bool = Field(description="false: the task had these bytes already, as this version")
    active: bool = Field(description="the live alias points at it")
    dry_run: bool = Field(description="true: nothing was published; the rest says what would have been")
    generation: Generation
    checks: list[CheckReport]
    golden: GoldenReport


class VersionSummary(Answer):
    """One immutable version of a task."""

    version: int
    sha256: Sha256
    bytes: int = Field(description="of the task adapter file")
    created_at: datetime
    aliases: list[str] = Field(description="that point at it, in whole or in part")


class VersionList(Answer):
    """All versions of a task, newest first."""

    task: TaskId
    generation: Generation
    versions: list[VersionSummary]


class VersionDetail(VersionSummary, Description):
    """All there is to know about one version."""

    task: TaskId
    generation: Generation
    backbone: str
    backbone_fingerprint: str
    servable: bool = Field(description="made for this server's backbone and preprocessing")


class AliasDetail(Answer):
    """Where an alias points."""

    alias: Alias
    weights: Shares


class AliasAnswer(AliasDetail):
    """Where an alias points, and since which generation of its task at the latest."""

    task: TaskId
    generation: Generation


class AliasList(Answer):
    """All aliases of a task, by name."""

    task: TaskId
    generation: Generation
    aliases: list[AliasDetail]


class TaskDetail(Description):
    """All there is to know about a task; it is described as the version does that answers for it.

    Without a live version that is the newest one.
    """

    task: TaskId
    generation: Generation
    ready: bool = Field(description="this server answers for it")
    reason: str | None = Field(default=None, description="why it does not; null: it does")
    served_generation: int | None = Field(
        description="the generation that this server answers with; behind `generation` until it has looked again"
    )
    version: int
    sha256: Sha256
    bytes: int = Field(description="of the task adapter file")
    aliases: list[AliasDetail]
    versions: list[VersionSummary]


class TaskChange(BaseModel):
    """What can be changed of a task itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    description: str = Field(
        max_length=2000,
        description="one line of text; empty: the description in the file that answers",
        examples=["handwritten digits, as on cheques"],
    )


class ToVersion(BaseModel):
    """An alias's target: one version."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Number


class ToWeights(BaseModel):
    """An alias's target: a split of the traffic, for instance a canary."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    weights: dict[NumberText, Annotated[float, Field(ge=1e-6, le=1e6)]] = Field(
        min_length=1,
        max_length=16,
        description="weight of each version, in proportion to each other",
        examples=[{"3": 0.9, "4": 0.1}],
    )


TASK_CHANGE = TypeAdapter(TaskChange)
ALIAS_TARGET: TypeAdapter[ToVersion | ToWeights] = TypeAdapter(ToVersion | ToWeights)
