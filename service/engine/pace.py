"""How long a batch takes: a·images + b seconds, fitted to the batches of late; and how many images a batch is.

What is learnt a while ago fades, so that the model follows a machine that gets busier or calmer. Until something has
been learnt, every batch is taken to last no time: nothing is refused on a guess.
"""

from collections.abc import Iterable

from service.engine.core import Row

_FADE = 0.97  # weight of a batch against the one after it: about the last thirty count
_FEW = 8  # batches before the model speaks


class Bulk:
    """What a batch amounts to in images, as rows are added: rows of one image share its trunk."""

    def __init__(self) -> None:
        self.images = 0.0
        self._trunks: dict[int, float] = {}  # image -> share of a whole forward pass

    def added(self, row: Row) -> float:
        """Images with one more row."""
        cost = row.resident.cost
        trunk = cost.trunk / cost.spent
        return self.images + 1 - min(trunk, self._trunks.get(id(row.pixels), 0.0))

    def add(self, row: Row) -> None:
        """Take a row in."""
        self.images = self.added(row)
        cost, image = row.resident.cost, id(row.pixels)
        self._trunks[image] = max(cost.trunk / cost.spent, self._trunks.get(image, 0.0))


def bulk_of(rows: Iterable[Row]) -> float:
    """What rows amount to in images."""
    bulk = Bulk()
    for row in rows:
        bulk.add(row)
    return bulk.images


class Pace:
    """The model of one engine. Written by one thread, read by any."""

    def __init__(self) -> None:
        self._batches = 0
        self._sums = [0.0] * 5  # of 1, images, seconds, images², images·seconds
        self._fit = (0.0, 0.0)  # a, b

    def observe(self, images: float, seconds: float) -> None:
        """Learn from a batch."""
        new = (1.0, images, seconds, images * images, images * seconds)
        self._sums = [_FADE * old + each for old, each in zip(self._sums, new, strict=True)]
        self._batches += 1
        if self._batches >= _FEW:
            self._fit = _line(*self._sums)

    def seconds(self, images: float, batches: float = 1) -> float:
        """How long so many images take in so many batches."""
        slope, start = self._fit
        return slope * images + start * batches


def _line(count: float, x: float, y: float, xx: float, xy: float) -> tuple[float, float]:
    """Slope and start of the line through the points, neither of them negative."""
    spread = count * xx - x * x
    slope = (count * xy - x * y) / spread if spread > 1e-6 * xx * count else y / x
    start = (y - slope * x) / count
    if start < 0:
        return xy / xx, 0.0
    return (slope, start) if slope >= 0 else (0.0, y / count)
