"""Takes corrections of the tasks that are open for them, and remembers recent images of these tasks."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from service.errors import FeedbackOff, InvalidRequest, ReadBacklog
from service.executor import BoundedExecutor
from service.feedback.memory import Recent, Seen
from service.feedback.storage import FeedbackFile, Opinion
from service.prediction.answers import probabilities_of
from service.prediction.predict import Outputs, TaskOutput
from service.settings import Settings

T = TypeVar("T")

ALL = "*"


class FeedbackDesk:
    """Where corrections arrive. Belongs to the event loop; the file is used in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        """Open the file, if the settings name one; raises FeedbackUnavailable."""
        self._tasks = frozenset(settings.feedback_tasks)
        self._recent = Recent(most_bytes=settings.remembered_bytes, seconds=settings.remembered_seconds)
        self._file: FeedbackFile | None = None
        if settings.feedback is not None:
            self._file = FeedbackFile(
                settings.feedback, most_images=settings.feedback_images, most_bytes=settings.feedback_bytes
            )
        self._executor = BoundedExecutor("mimi-feedback", threads=1, backlog=settings.pending_reads, refusal=_too_many)

    def takes(self, task: str) -> bool:
        """Whether a task is open for corrections."""
        return self._file is not None and (task in self._tasks or ALL in self._tasks)

    def check(self, task: str) -> None:
        """Raise FeedbackOff unless a task is open for corrections."""
        if not self.takes(task):
            raise FeedbackOff("this task takes no corrections here: see the settings feedback and feedback_tasks")

    async def run(self, task: str, job: Callable[[FeedbackFile], T]) -> T:
        """The result of a job on the file, about a task that is open for corrections.

        Raises:
            FeedbackOff: it is not; or whatever the job raises.
        """
        self.check(task)
        file = self._file
        if file is None:
            raise FeedbackOff("this server takes no corrections")
        return await self._executor.run(lambda: job(file))

    def remember(self, request: str, images: Sequence[bytes], outputs: Outputs) -> None:
        """Remember the images of a prediction for its tasks that are open for corrections."""
        if self._file is None:
            return
        for output in outputs.tasks:
            if self.takes(output.served.task):
                seen = map(Seen, images, opinions(output))
                self._recent.remember(request, output.served.task, list(seen))

    def recall(self, request: str, task: str, index: int) -> Seen:
        """See `Recent.recall`."""
        return self._recent.recall(request, task, index)

    def close(self) -> None:
        """Finish what is being written."""
        self._executor.close(wait=True)


def opinions(output: TaskOutput) -> list[Opinion]:
    """A task's answer about each image: its most probable label."""
    manifest, found = output.served.manifest, []
    for result in output.results:
        probabilities = probabilities_of(result.logits, manifest)
        best = int(probabilities.argmax())
        found.append(
            Opinion(output.served.info.version, manifest.labels[best], float(probabilities[best]), result.unknown)
        )
    return found


def check_labels(labels: Sequence[str], *, exclusive: bool) -> tuple[str, ...]:
    """The labels of a correction; new ones are allowed, because they may become classes.

    Raises:
        InvalidRequest: one is not printable or comes twice, or there are several where classes exclude each other.
    """
    if len(set(labels)) != len(labels) or not all(label.isprintable() and label.strip() for label in labels):
        raise InvalidRequest("labels are printable text on one line, each once")
    if exclusive and len(labels) != 1:
        raise InvalidRequest("the classes of this task exclude each other: give exactly one label")
    return tuple(labels)


def _too_many() -> ReadBacklog:
    return ReadBacklog("too many corrections wait")
