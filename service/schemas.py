"""The shapes of requests and answers, for the OpenAPI document and for checking; no behaviour."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

TASK_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
DEFAULT_TOP_K = 5
ALL_TASKS = "all"
MAX_TASKS = 256  # in one request

TaskId = Annotated[str, Field(pattern=TASK_PATTERN, examples=["digits"])]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the task adapter file")]
TopK = Annotated[int, Field(ge=1, le=10_000, description="how many labels to name; capped at the task's number")]


class Answer(BaseModel):
    """Base of every body: what is not declared does not exist."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(Answer):
    """What went wrong (RFC 9457); `code` is stable, the texts are for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class Prediction(Answer):
    """One label of the answer."""

    label: str
    index: int = Field(ge=0)
    probability: float = Field(ge=0, le=1)


class ImageResult(Answer):
    """The answer to one image; of predictions, logits and features there is what was asked for."""

    predictions: list[Prediction] | None = Field(default=None, description="most probable label first")
    logits: list[float] | None = Field(default=None, description="one for each label of the task")
    features: list[float] | None = Field(default=None, description="what the task's head reads")
    gflops_spent: float = Field(
        ge=0, description="executed for this image, 10^9 floating-point operations; what is shared is divided"
    )
    gflops_saved: float = Field(description="less than the same task would have cost before pruning")
    gflops_shared: float = Field(ge=0, description="less than this image would have cost alone")
    trunk_share: float = Field(ge=0, le=1, description="gflops_shared as a part of what it would have cost alone")


class Timings(Answer):
    """Where the time of a request went, in milliseconds; the longest over its images."""

    decode_ms: float = Field(ge=0, description="decoding and preparing the images")
    queue_ms: float = Field(ge=0, description="waiting for the engine")
    compute_ms: float = Field(ge=0, description="the forward pass, whoever else was in it")


class TaskAnswer(Answer):
    """The answers to all images of a request, in their order, from one version of a task."""

    task: TaskId
    version: int = Field(ge=1)
    sha256: Sha256
    results: list[ImageResult]


class PredictAnswer(TaskAnswer):
    """What one task says."""

    timings: Timings


class FanoutAnswer(Answer):
    """What many tasks say about the same images."""

    answers: list[TaskAnswer] = Field(description="one for each task, in the order asked for; by name for all")
    timings: Timings


Output = Literal["probabilities", "logits", "features"]


class PredictOptions(BaseModel):
    """Options of a prediction, as query parameters, form fields or JSON keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    top_k: TopK | None = None
    output: Output | None = Field(default=None, description="what to answer with; probabilities if not said")


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
    classes: int | None = None
    reason: str | None = None


class TaskList(Answer):
    """All published tasks, by name."""

    tasks: list[TaskSummary]
    backbone: str
    backbone_fingerprint: str


class TaskProvenance(Answer):
    """How the adapter was made, as its file says."""

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
    """What the file of a version says of itself, and what it costs here."""

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


class Health(Answer):
    """Whether the process lives, or takes work."""

    status: str
