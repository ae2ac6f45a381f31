"""The schemas of requests and answers, for the OpenAPI document and for validation; no behaviour.

The first part is about predictions, the second about tasks, versions and aliases.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from typing_extensions import TypeAliasType

TASK_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
DEFAULT_TOP_K = 5
ALL_TASKS = "all"
MAX_TASKS = 256  # in one request

TaskId = Annotated[str, Field(pattern=TASK_PATTERN, examples=["digits"])]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the task adapter file")]
TopK = Annotated[int, Field(ge=1, le=10_000, description="how many labels to name; capped at the task's number")]
Threshold = Annotated[float, Field(ge=0, le=1, description="of every label, instead of those in the file")]


def may_grow(schema: dict[str, Any]) -> None:
    """Leave the door open: a later release may answer with more members, so that nobody shall refuse them."""
    schema.pop("additionalProperties", None)


class Answer(BaseModel):
    """Base of every answer: it is built of its declared fields alone. Clients ignore members that they do not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=may_grow)


class Problem(Answer):
    """An error (RFC 9457). `code` is stable; the texts are for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class Prediction(Answer):
    """One label of the answer."""

    label: str
    index: int = Field(ge=0)
    probability: float = Field(ge=0, le=1, description="calibrated where the task's file has a temperature")


class ImageResult(Answer):
    """The answer to one image: predictions, logits or features, as the request asked."""

    predictions: list[Prediction] | None = Field(
        default=None, description="most probable first; of independent labels those given, unless top_k says how many"
    )
    labels: list[str] | None = Field(
        default=None, description="labels whose probability reaches their threshold; absent where there is no threshold"
    )
    known: bool | None = Field(
        default=None, description="false: like no image that the task was trained on; absent where its file has no rule"
    )
    unknown_score: float | None = Field(default=None, ge=0, description="above 1: not known; how far from known images")
    logits: list[float] | None = Field(default=None, description="one for each label of the task")
    features: list[float] | None = Field(default=None, description="what the task's head reads")
    gflops_spent: float = Field(
        ge=0,
        description="executed for this image, 10^9 floating-point operations; a shared part counts in equal shares",
    )
    gflops_saved: float = Field(description="saved by pruning: the cost before pruning minus the cost now")
    gflops_shared: float = Field(ge=0, description="saved by sharing: the cost alone minus gflops_spent")
    trunk_share: float = Field(ge=0, le=1, description="gflops_shared divided by the cost alone")


class Timings(Answer):
    """The time of each stage of a request, in milliseconds; of its slowest image."""

    decode_ms: float = Field(ge=0, description="decoding and preparing the images")
    queue_ms: float = Field(ge=0, description="waiting for the engine")
    compute_ms: float = Field(ge=0, description="the forward pass of the whole batch")


class TaskAnswer(Answer):
    """The answers to all images of a request, in their order, from one version of a task."""

    task: TaskId
    version: int = Field(ge=1)
    sha256: Sha256
    results: list[ImageResult]


class PredictAnswer(TaskAnswer):
    """The answer of one task."""

    timings: Timings


class FanoutAnswer(Answer):
    """The answers of many tasks about the same images."""

    answers: list[TaskAnswer] = Field(description="one for each task, in the order asked for; by name for all")
    timings: Timings


Output = TypeAliasType("Output", Literal["probabilities", "logits", "features"])  # named in the OpenAPI document


class PredictOptions(BaseModel):
    """Options of a prediction, as query parameters, form fields or JSON keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    top_k: TopK | None = None
    output: Output | None = Field(default=None, description="what to answer with; probabilities if not said")
    threshold: Threshold | None = None


class FanoutOptions(PredictOptions):
    """Options of a prediction by many tasks, as query parameters or form fields."""

    tasks: list[TaskId] = Field(
        default=[], max_length=MAX_TASKS, description="tasks to ask, repeated; `all` or none: every task served"
    )


_Image = Annotated[
    str, Field(json_schema_extra={"contentEncoding": "base64"}, description="base64, or a data URI of it")
]


class PredictJson(PredictOptions):
    """Images as base64, with options."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    images: list[_Image] = Field(min_length=1)


class FanoutJson(PredictJson):
    """Images as base64 for many tasks, with options."""

    tasks: list[TaskId] | Literal["all"] = Field(
        default=[], max_length=MAX_TASKS, description="tasks to ask; `all` or none: every task served"
    )


class TaskSummary(Answer):
    """A task in the list; `reason` says why it cannot be served, if it cannot."""

    task: TaskId
    ready: bool
    version: int | None = None
    sha256: Sha256 | None = None
    bytes: int | None = Field(default=None, description="of the task adapter file")
    shares: dict[str, float] | None = Field(default=None, description="part of the traffic of each live version")
    classes: int | None = Field(default=None, description="null until its weights were loaded, as the two below")
    live_sites: int | None = None
    gflops_saved: float | None = None
    reason: str | None = None


DEFAULT_LIMIT, MOST_LISTED = 100, 1000  # entries of a page

Next = Annotated[str | None, Field(description="the cursor of the next page; null: this is the last one")]


class ListOptions(BaseModel):
    """Which entries of a list to give, as query parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MOST_LISTED, description="most entries of the page")
    cursor: str | None = Field(default=None, max_length=128, description="`next` of the page before; it stays valid")
    prefix: str = Field(
        default="", max_length=64, description="only tasks whose id, or versions whose SHA-256 in hex, begins so"
    )


class TaskList(Answer):
    """A page of the published tasks, by name."""

    tasks: list[TaskSummary]
    next: Next = None
    backbone: str
    backbone_fingerprint: str


class TaskProvenance(Answer):
    """The provenance of the adapter, from its file."""

    method: str
    dataset: str
    seed: int
    cycles: int
    epochs: int
    initial_compression: float
    target_compression: float
    pruning_fraction: float
    initial_widths: list[int]
    adapter_parameters: int
    head_parameters: int
    flops: int
    metrics: dict[str, float]


class Description(Answer):
    """The manifest of a version, and its cost on this server."""

    description: str
    labels: list[str]
    widths: list[int] = Field(description="hidden size of the adapter at each site; 0: removed")
    live_sites: int
    first_live_site: int | None = Field(description="up to it the trunk is shared with other tasks; null: none")
    gflops: float = Field(description="of the whole forward pass, one image")
    gflops_saved: float | None = Field(
        description="less than the same task would have cost before pruning; null: made for another backbone"
    )
    provenance: TaskProvenance


class GoldenReport(Answer):
    """The golden sample, recomputed: largest absolute differences of its logits."""

    reference: float = Field(description="reference forward against the file")
    engine: float = Field(description="this server's engine against the file")
    tolerance: float = Field(description="what the reference was allowed")
    score: float | None = Field(
        default=None, description="unknown score of the reference against the file; null: it says nothing of that"
    )


class Health(Answer):
    """Whether the process is alive, or ready."""

    status: str


ALIAS_PATTERN = r"^[a-z][a-z0-9_-]{0,63}$"
LARGEST = 2**53 - 1  # the largest integer that every JSON parser reads exactly

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
    strict: bool = Field(default=False, description="refuse a file about which there is a warning, with 409")


class CheckReport(Answer):
    """One check of an upload; a check that fails refuses the upload, and the problem names it."""

    name: str = Field(examples=["golden sample"])
    outcome: Literal["passed", "skipped"]
    detail: str = Field(description="what was found, or why the check was skipped; may be empty")


class UploadAnswer(Answer):
    """The result of an upload, or of a dry run."""

    task: TaskId
    version: int = Field(ge=1)
    sha256: Sha256
    created: bool = Field(description="false: the task had these bytes already, as this version")
    active: bool = Field(description="the live alias points at it")
    dry_run: bool = Field(description="true: nothing was published; the rest says what would have been")
    generation: Generation
    checks: list[CheckReport]
    warnings: list[str] = Field(default=[], description="what is worse or different than in the live version")
    golden: GoldenReport


class VersionSummary(Answer):
    """One immutable version of a task."""

    version: int
    sha256: Sha256
    bytes: int = Field(description="of the task adapter file")
    created_at: datetime
    aliases: list[str] = Field(description="that point at it, in whole or in part")


class VersionList(Answer):
    """A page of the versions of a task, newest first."""

    task: TaskId
    generation: Generation
    versions: list[VersionSummary]
    next: Next = None


class AliasDetail(Answer):
    """The target of an alias."""

    alias: Alias
    weights: Shares


class AliasAnswer(AliasDetail):
    """The target of an alias, and the generation of its task."""

    task: TaskId
    generation: Generation


class AliasList(Answer):
    """All aliases of a task, by name."""

    task: TaskId
    generation: Generation
    aliases: list[AliasDetail]


class TaskChange(BaseModel):
    """The properties of a task that can be changed."""

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
