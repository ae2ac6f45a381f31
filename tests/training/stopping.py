"""A reporter that stops a run after some epochs, as Ctrl-C does."""

from training.progress import Position, Silent


class Stopping(Silent):
    """Silent, until the epochs are over."""

    def __init__(self, after: int) -> None:
        """Stop after that many epochs."""
        self.left = after

    def epoch(self, position: Position, progress: object, validation: float | None) -> None:
        """Count an epoch."""
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
