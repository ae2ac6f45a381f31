"""Results over seeds: groups that are averaged, arenas that are compared, series that are drawn."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from training.report.results import Arena, Result

_SMALL_VANILLA = re.compile(r"vanilla-after-\d+")
SMALL_VANILLA = "vanilla-after-k"  # as a series: one point for each of MiMi's sizes


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean over seeds and sample standard deviation, None if there is one seed."""

    mean: float
    sd: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """One method after one cycle, at every seed."""

    method: str
    cycle: int
    results: tuple[Result, ...]

    @property
    def epochs(self) -> int:
        """Of training."""
        return self.results[0].epochs

    def spread(self, value: Callable[[Result], float | None]) -> Spread | None:
        """Of a figure over seeds; None if one of them does not have it."""
        values = [value(result) for result in self.results]
        known = [each for each in values if each is not None]
        if len(known) < len(values):
            return None
        return Spread(mean(known), stdev(known) if len(known) > 1 else None)


@dataclass(frozen=True, slots=True)
class Section:
    """Everything about one arena: groups in the order of their methods, then of their cycles."""

    arena: Arena
    title: str
    groups: tuple[Group, ...]

    @property
    def last(self) -> tuple[Group, ...]:
        """Every method after its last cycle."""
        return tuple({group.method: group for group in self.groups}.values())


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of a figure: a point, or points joined by a line."""

    name: str
    groups: tuple[Group, ...]


def sections_of(results: Iterable[Result]) -> list[Section]:
    """One section for each arena; methods in the order in which they first appear."""
    by_arena: dict[Arena, list[Result]] = {}
    for result in results:
        by_arena.setdefault(result.arena, []).append(result)
    titles = [arena.title for arena in by_arena]
    return [
        Section(arena, _title(arena, alone=titles.count(arena.title) == 1), _groups(found))
        for arena, found in by_arena.items()
    ]


def _title(arena: Arena, *, alone: bool) -> str:
    return arena.title if alone else f"{arena.title}, settings {arena.digest or 'not recorded'}"


def _groups(results: Sequence[Result]) -> tuple[Group, ...]:
    order = {method: place for place, method in enumerate(dict.fromkeys(result.method for result in results))}
    found: dict[tuple[int, int], list[Result]] = {}
    for result in results:
        found.setdefault((order[result.method], result.cycle), []).append(result)
    return tuple(Group(of[0].method, of[0].cycle, tuple(of)) for _, of in sorted(found.items()))


def series_of(section: Section) -> list[Series]:
    """A line for methods that shrink between cycles and for small vanilla adapters; a last point for all others."""
    named: dict[str, list[Group]] = {}
    for group in section.groups:
        name = SMALL_VANILLA if _SMALL_VANILLA.fullmatch(group.method) else group.method
        named.setdefault(name, []).append(group)
    return [
        Series(name, tuple(groups if name == SMALL_VANILLA or _shrinks(groups) else groups[-1:]))
        for name, groups in named.items()
    ]


def _shrinks(groups: Sequence[Group]) -> bool:
    sizes: dict[int, set[int]] = {}
    for result in (result for group in groups for result in group.results):
        sizes.setdefault(result.seed, set()).add(result.own_params)
    return any(len(of_seed) > 1 for of_seed in sizes.values())
