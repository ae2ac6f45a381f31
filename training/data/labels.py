"""Images with any number of labels each: from lists of names to a table of zeros and ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.errors import UnknownLabel


@dataclass(frozen=True, slots=True)
class LabelLists:
    """The label names of each image, and all names in their order; None: those that occur, sorted."""

    rows: Sequence[Sequence[str]]
    names: tuple[str, ...] | None

    @property
    def labels(self) -> tuple[str, ...]:
        """All names."""
        return self.names if self.names is not None else sorted_names(label for row in self.rows for label in row)

    def targets(self, labels: Sequence[str], where: str) -> NDArray[np.int64]:
        """(n, K): 1 where an image has a label of `labels`.

        Raises:
            UnknownLabel: an image has another one.
        """
        place = {label: index for index, label in enumerate(labels)}
        found = np.zeros((len(self.rows), len(labels)), np.int64)
        for index, row in enumerate(self.rows):
            if missing := [label for label in row if label not in place]:
                raise UnknownLabel(f"{where}: row {index} has label {missing[0]!r}, which the training split lacks")
            found[index, [place[label] for label in row]] = 1
        return found


def sorted_names(labels: Iterable[str]) -> tuple[str, ...]:
    """Each name once: numbers by value, and everything else by its text."""
    names = set(labels)
    if all(name.isascii() and name.isdecimal() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))
