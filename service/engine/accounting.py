"""The FLOPs of a row: spent on it, saved by pruning, and saved by sharing.

`spent` counts what is executed for the row: backbone, adapters of the live sites, head; attention products included.
Work that several rows share is divided among them. `saved` compares with the same task at the widths it had before
pruning. `shared` is the rest: spent + shared is the cost of the row alone, which depends on its task only.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from backbone import Backbone, flops_of


@dataclass(frozen=True, slots=True)
class Cost:
    """FLOPs for one image of a task, alone.

    Attributes:
        spent: executed.
        saved: against its initial widths.
        trunk: of `spent`, the bare network up to its first live site, if tasks share it.
    """

    spent: int
    saved: int
    trunk: int = 0


class Task(Protocol):
    """The part of a task that accounting reads: its cost for one image, and where it leaves the trunk."""

    @property
    def cost(self) -> Cost:
        """FLOPs of one image, alone."""
        ...

    @property
    def first_site(self) -> int:
        """The first live site; the number of sites where none is live."""
        ...


def cost_of(backbone: Backbone, widths: Sequence[int], *, initial_widths: Sequence[int], classes: int) -> Cost:
    """Cost of one image for a task with hidden sizes `widths`, pruned from `initial_widths`."""
    spent = flops_of(backbone, widths, classes)
    first_site = next((site for site, width in enumerate(widths) if width), len(widths))
    return Cost(spent, flops_of(backbone, initial_widths, classes) - spent, trunk_flops(backbone)[first_site])


def trunk_flops(backbone: Backbone) -> list[int]:
    """FLOPs of the bare network on one image up to the output of each site; the last entry is that of the whole."""
    upto = list(accumulate((site.enter_flops + site.flops for site in backbone.sites), initial=backbone.stem.flops))
    return [*upto[1:], backbone.flops]


def spent_by(tasks: Sequence[Task], images: Sequence[int], trunk: Sequence[int]) -> list[int]:
    """FLOPs spent on each row of a batch. Their sum is exactly the number of executed FLOPs.

    Args:
        tasks: of each row.
        images: number of each row's image.
        trunk: as `trunk_flops` gives it.
    """
    if len(set(images)) == len(images):
        return [task.cost.spent for task in tasks]
    spent = [0] * len(tasks)
    for users in _alike(images):
        _share_trunk(spent, sorted(users, key=lambda row: tasks[row].first_site), tasks, trunk)
    for users in _alike(zip(map(id, tasks), images, strict=True)):
        own = tasks[users[0]].cost.spent - trunk[tasks[users[0]].first_site]
        _divide(spent, own, users)
    return spent


def _share_trunk(spent: list[int], users: Sequence[int], tasks: Sequence[Task], trunk: Sequence[int]) -> None:
    """Divide each stretch of an image's trunk among the rows that have not left it; `users` in the order of leaving."""
    done = 0
    for left, row in enumerate(users):
        upto = trunk[tasks[row].first_site]
        _divide(spent, upto - done, users[left:])
        done = upto


def _divide(spent: list[int], flops: int, users: Sequence[int]) -> None:
    """Divide without a remainder: shares differ by at most one FLOP."""
    for index, row in enumerate(users):
        spent[row] += flops * (index + 1) // len(users) - flops * index // len(users)


def _alike(keys: Iterable[Hashable]) -> list[list[int]]:
    """Indices of equal keys together."""
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return list(groups.values())
