"""What a batcher may hold, and how long it is patient."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a batcher.

    Attributes:
        queue_images: most rows that wait.
        batch_images: most rows in one batch.
        stall_seconds: a batch that takes so much longer than expected means that the engine hangs.

    Raises:
        ValueError: a bound is not positive.
    """

    queue_images: int = 256
    batch_images: int = 16
    stall_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Check the bounds: with a zero among them nothing would ever be answered."""
        if min(self.queue_images, self.batch_images, self.stall_seconds) <= 0:
            raise ValueError(f"every limit must be positive, not {self}")
