"""What a row costs in FLOPs, what pruning saved on it, and what it shared.

Spent is what is executed for the row: backbone, adapters of the live sites, head; padding included, attention
products counted. On the CPU rows run at their exact widths, so what a row costs alone depends on its task only; what
is computed once for several rows is divided among them. Saved is against the same task at the widths it had before
any pruning. Shared is the rest: spent + shared is what the row costs alone.
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
        spent: what is executed.
        saved: against its initial widths.
        trunk: of `spent`, the bare network up to its first live site, if tasks share it.
    """

    spent: int
    saved: int
    trunk: int = 0


class Task(Protocol):
    """What accounting asks of a task: its cost for one image, and where it leaves the trunk."""

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
    """FLOPs spent on each row of a batch; their sum is what is executed, to the FLOP.

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
    """Each stretch of an image's trunk is divided among the rows that have not left it; `users` in leaving order."""
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
