"""The schemas of a version and a task in full: the manifest, and how answers are read; no behaviour.

Lists of tasks and versions have nothing of it, so that they stay small.
"""

from pydantic import Field

from service.schemas import AliasDetail, Answer, Description, Generation, Sha256, TaskId, VersionSummary


class ValidationFigures(Answer):
    """The figures of the task's own validation images; lists have one value for each label, in order."""

    images: int
    precision: list[float] = Field(description="of the labels that reach their threshold, as the next one")
    recall: list[float]
    average_precision: list[float]
    confusion: list[list[int]] = Field(
        description="true label, predicted label (as indices) and images, for each pair that occurs; empty where the "
        "labels are independent, or the pairs too many"
    )


class AnswerRules(Answer):
    """From logits to an answer: divided by the temperature, activated, compared with the thresholds."""

    activation: str = Field(description="softmax: exclusive classes; sigmoid: independent labels")
    temperature: float
    thresholds: list[float] = Field(description="of each label, in order")
    known_method: str | None = Field(description="by which the features of an image are compared with known ones")
    known_share: float | None = Field(description="of the validation images that count as known; null: no rule")
    validation: ValidationFigures | None = Field(description="null: the file has no figures")


class VersionDetail(VersionSummary, Description):
    """All there is to know about one version."""

    task: TaskId
    generation: Generation
    backbone: str
    backbone_fingerprint: str
    servable: bool = Field(description="made for this server's backbone and preprocessing")
    extensible: bool = Field(default=False, description="a class can be added: the file has what that needs")
    answers: AnswerRules | None = Field(default=None, description="how logits become answers; null: unsaid")


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
    answers: AnswerRules | None = Field(default=None, description="as of its version; null: unsaid")
