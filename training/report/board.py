"""A reporter for TensorBoard: loss, accuracy and rate by step, validation by epoch, sizes."""

from pathlib import Path
from typing import TYPE_CHECKING

from training.cycles import CycleResult
from training.fit import Progress
from training.progress import Position
from training.report.errors import MissingExtra

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Board:
    """Scalars over images seen, so that the curves of a resumed run continue.

    Each learning rate that is tried has a run of its own in TensorBoard, named after the rate.
    """

    def __init__(self, folder: Path) -> None:
        """Write under `folder`.

        Raises:
            MissingExtra: tensorboard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra, and slow to import
        except ImportError as error:
            raise MissingExtra("tensorboard") from error
        self._open = SummaryWriter
        self._folder = folder
        self._writers: dict[str, SummaryWriter] = {}
        self._place, self._images = Position(0, 1, 0, 1), 0

    def step(self, place: Position, progress: Progress) -> None:
        """Loss, training accuracy and learning rate."""
        at = self._seen(place, progress)
        writer = self._writer(place)
        writer.add_scalar("train/loss", progress.loss, at)
        writer.add_scalar("train/top1", progress.accuracy, at)
        writer.add_scalar("train/learning_rate", progress.rate, at)

    def epoch(self, place: Position, progress: Progress, validation: float | None) -> None:
        """Validation accuracy if it was measured; flush the files."""
        at, writer = self._seen(place, progress), self._writer(place)
        if validation is not None:
            writer.add_scalar("validation/top1", validation, at)
        writer.flush()

    def cycle(self, result: CycleResult) -> None:
        """The size just trained."""
        writer = self._writer(self._place)
        writer.add_scalar("size/neurons", result.neurons, self._images)
        writer.add_scalar("size/live_sites", len(result.live_sites), self._images)
        writer.add_scalar("size/adapter_parameters", result.adapter_parameters, self._images)
        writer.add_scalar("size/rank_correlation", result.rank_correlation, self._images)
        writer.flush()

    def say(self, text: str) -> None:
        """Nothing: the console shows it."""

    def close(self) -> None:
        """Write everything that is still in memory."""
        for writer in self._writers.values():
            writer.close()

    def _seen(self, place: Position, progress: Progress) -> int:
        """Images seen in all cycles up to here."""
        self._place = place
        self._images = place.before * progress.total + progress.done
        return self._images

    def _writer(self, place: Position) -> "SummaryWriter":
        name = "" if place.rate is None else f"rate-{place.rate:g}"
        if name not in self._writers:
            self._writers[name] = self._open(str(self._folder / name))
        return self._writers[name]
