"""Plans a batch: the trunks that rows share, their forks, and their order in the batch.

Before its task's first live site a row is the bare network on an image, the same for every task: the *trunk*. So each
different image enters once. A row forks off its image's trunk at its task's first live site, at the output of that
sub-layer. Forked rows are in front, sorted by their fork and then by task, and never move again. So from its fork on,
a task's rows are one slice of every activation. Trunks that are still needed come after them. Equal rows (same task,
same image) are computed once.

This file knows tasks as `Resident`s and images as numbers; it knows no pixels and no tensors.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from backbone import SiteWeights
from service.engine.weights import Resident


class Group(NamedTuple):
    """The slice of a batch that belongs to one task, from its fork on."""

    resident: Resident
    rows: slice


class Live(NamedTuple):
    """An adapter at one site, and the slice of the batch it acts on."""

    weights: SiteWeights
    rows: slice


@dataclass(frozen=True, slots=True)
class Plan:
    """How a batch is computed.

    Attributes:
        images: numbers of the images that enter, in the order of their trunks.
        places: for each given row, where its answer lies when those of all groups are put behind each other.
        groups: one for each task, in the order of their slices.
        live: adapters that act, by site; a site where no row is live is absent.
        forks: by site, the places of the batch that go on from its output, in their new order; absent if the order
            stays. Forks at a site behind the last one are forks of the features.
    """

    images: tuple[int, ...]
    places: tuple[int, ...]
    groups: tuple[Group, ...]
    live: dict[int, list[Live]]
    forks: dict[int, list[int]]


def plan(residents: Sequence[Resident], images: Sequence[int] | None = None) -> Plan:
    """Plan a batch whose row i is the task `residents[i]` on the image numbered `images[i]` (None: all different)."""
    images = images if images is not None else range(len(residents))
    members: dict[Resident, dict[int, None]] = {}
    for resident, image in zip(residents, images, strict=True):
        members.setdefault(resident, {})[image] = None
    tasks = sorted(members, key=lambda resident: resident.first_site)
    rows = [(resident, image) for resident in tasks for image in members[resident]]
    place = {row: index for index, row in enumerate(rows)}
    groups = tuple(_groups(tasks, members))
    return Plan(
        images=tuple(dict.fromkeys(image for _, image in rows)),
        places=tuple(place[row] for row in zip(residents, images, strict=True)),
        groups=groups,
        live=_live(groups),
        forks=_forks(rows),
    )


def _groups(tasks: Iterable[Resident], members: dict[Resident, dict[int, None]]) -> Iterable[Group]:
    start = 0
    for resident in tasks:
        stop = start + len(members[resident])
        yield Group(resident, slice(start, stop))
        start = stop


def _live(groups: Iterable[Group]) -> dict[int, list[Live]]:
    live: dict[int, list[Live]] = {}
    for resident, rows in groups:
        for index, weights in resident.sites.items():
            live.setdefault(index, []).append(Live(weights, rows))
    return live


def _forks(rows: Sequence[tuple[Resident, int]]) -> dict[int, list[int]]:
    """Where rows leave their trunks; `rows` are (task, image), sorted by the task's first live site."""
    trunks = list(dict.fromkeys(image for _, image in rows))
    if len(trunks) == len(rows):
        return {}  # nothing is shared: every row lies in its place from the start
    forks, forked = {}, 0
    while forked < len(rows):
        site = rows[forked][0].first_site
        stop = next((i for i in range(forked, len(rows)) if rows[i][0].first_site != site), len(rows))
        needed = {image for _, image in rows[stop:]}
        left = [image for image in trunks if image in needed]
        lies = {image: forked + index for index, image in enumerate(trunks)}
        order = [*range(forked), *(lies[image] for _, image in rows[forked:stop]), *(lies[image] for image in left)]
        if order != list(range(forked + len(trunks))):
            forks[site] = order
        forked, trunks = stop, left
    return forks
