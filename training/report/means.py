"""Means over the data sets of a group, as the paper's tables have them: a line a method, a column a data set.

A method has a row for its last budget and for every earlier one. If some data sets of the group have no result, the
mean is replaced by a text such as "3 of 4".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from training.report.groups import Group, Section
from training.report.tables import Table

_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Family:
    """The data sets of one group on one backbone, at the same epochs a cycle.

    Attributes:
        title: in words.
        sections: one for each data set.
    """

    title: str
    sections: tuple[Section, ...]


def families_of(sections: Sequence[Section]) -> list[Family]:
    """The groups of data sets, in the order in which they first appear; sets without a group are in none."""
    found: dict[tuple[str, str, int, str], list[Section]] = {}
    for section in sections:
        first, arena = section.groups[0].results[0], section.arena
        if first.group:
            key = (first.group, first.backbone, arena.cycle_epochs, arena.purpose)
            found.setdefault(key, []).append(section)
    return [
        Family(f"{group} on {backbone}, {epochs} epochs a cycle ({purpose})", tuple(of))
        for (group, backbone, epochs, purpose), of in found.items()
    ]


def means(family: Family) -> Table:
    """Test accuracy on every data set and its mean, beside the parameters in both conventions."""
    names = [section.arena.dataset for section in family.sections]
    header = ("method", "epochs", "own parameters (M)", "paper's parameters (M)", "paper's %", *names, "mean")
    places: dict[tuple[str, int, int], dict[int, Group]] = {}
    for column, section in enumerate(family.sections):
        for group in section.groups:
            places.setdefault((group.method, group.epochs, group.cycle), {})[column] = group
    order = list(dict.fromkeys(method for method, _, _ in places))
    keys = sorted(places, key=lambda key: (order.index(key[0]), key[1]))
    return header, [_line(key[0], key[1], places[key], len(names)) for key in keys]


def _line(method: str, epochs: int, found: dict[int, Group], count: int) -> Sequence[str]:
    tests = [_test(found.get(column)) for column in range(count)]
    known = [test for test in tests if test is not None]
    groups = list(found.values())
    return (
        method,
        str(epochs) if epochs else "converged",
        _mean([result.own_params / _MILLION for group in groups for result in group.results], "{:.4f}"),
        _mean([r.paper_params and r.paper_params / _MILLION for group in groups for r in group.results], "{:.2f}"),
        _mean([result.paper_percent for group in groups for result in group.results], "{:.2f}"),
        *("-" if test is None else f"{100 * test:.2f}" for test in tests),
        f"{100 * mean(known):.2f}" if len(known) == count else f"{len(known)} of {count}",
    )


def _test(group: Group | None) -> float | None:
    spread = group.spread(lambda result: result.test) if group else None
    return spread.mean if spread else None


def _mean(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(mean(known)) if known and len(known) == len(values) else "-"
