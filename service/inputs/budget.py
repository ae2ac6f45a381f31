"""Memory for requests that are being read, whatever brings them."""

from dataclasses import dataclass, field

from service.errors import TooManyBytes


@dataclass(slots=True)
class Budget:
    """Bytes of request bodies held by all requests together."""

    limit: int
    held: int = field(default=0, init=False)

    def take(self, count: int) -> None:
        """Reserve `count` bytes, or raise TooManyBytes."""
        if self.held + count > self.limit:
            raise TooManyBytes("too many request bodies are being read at once")
        self.held += count

    def release(self, count: int) -> None:
        """Give `count` bytes back."""
        self.held -= count
