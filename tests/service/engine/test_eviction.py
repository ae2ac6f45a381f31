"""The working set stays within the budget, under scans and under loops."""

import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from service.engine.cache import S3Fifo

SIZE, CAPACITY = 10, 100
NAMES = st.integers(0, 30).map(str)


def ask(eviction: S3Fifo, name: str) -> bool:
    """Ask as a tier does; whether it was there."""
    if name in eviction:
        eviction.use(name)
        return True
    eviction.add(name, SIZE)
    return False


def hits(eviction: S3Fifo, names: Iterable[str]) -> float:
    found = [ask(eviction, name) for name in names]
    return sum(found) / len(found)


@pytest.fixture
def eviction() -> S3Fifo:
    return S3Fifo(CAPACITY * SIZE)


def hot(count: int) -> list[str]:
    return [f"hot {index}" for index in range(count)]


def test_a_scan_over_ten_thousand_leaves_the_working_set_where_it_is(eviction: S3Fifo) -> None:
    for _ in range(4):
        hits(eviction, hot(90))
    assert hits(eviction, (f"cold {index}" for index in range(10_000))) == 0
    assert sum(name in eviction for name in hot(90)) >= 88


def test_a_scan_takes_nothing_from_the_working_set_that_is_asked_for_meanwhile(eviction: S3Fifo) -> None:
    for _ in range(4):
        hits(eviction, hot(90))
    dice, found = random.Random(0), []
    for index in range(10_000):
        ask(eviction, f"cold {index}")
        if index % 3 == 0:
            found.append(ask(eviction, f"hot {dice.randrange(90)}"))
    assert sum(found) / len(found) > 0.97


def lru(capacity: int) -> Callable[[str], bool]:
    """The usual way, for comparison."""
    held: dict[str, None] = {}

    def ask(name: str) -> bool:
        there = name in held
        held.pop(name, None)
        held[name] = None
        if len(held) > capacity:
            del held[next(iter(held))]
        return there

    return ask


def test_a_working_set_one_larger_than_the_budget_mostly_stays(eviction: S3Fifo) -> None:
    names = hot(CAPACITY + 1) * 12
    least_recent = lru(CAPACITY)
    assert sum(map(least_recent, names)) == 0  # the cliff
    hits(eviction, names)
    assert hits(eviction, names) > 0.8


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_of_a_working_set_too_large_a_part_stays(eviction: S3Fifo, share: float) -> None:
    names = hot(round(CAPACITY * (1 + share))) * 20
    hits(eviction, names)
    assert hits(eviction, names) > 0.2


def test_what_comes_back_soon_is_kept_for_longer_than_what_is_new(eviction: S3Fifo) -> None:
    hits(eviction, hot(CAPACITY + 5))
    ask(eviction, "hot 0")  # gone a moment ago
    hits(eviction, (f"cold {index}" for index in range(10_000)))
    assert "hot 0" in eviction


def test_what_is_larger_than_the_budget_is_not_kept_and_nothing_goes_for_it(eviction: S3Fifo) -> None:
    hits(eviction, hot(CAPACITY))
    assert eviction.add("huge", CAPACITY * SIZE + 1) == ["huge"]
    assert (len(eviction), "huge" in eviction) == (CAPACITY, False)


def test_what_is_pinned_stays_even_beyond_the_budget(eviction: S3Fifo) -> None:
    eviction.pin(frozenset(hot(CAPACITY + 5)))
    hits(eviction, hot(CAPACITY + 5))
    assert len(eviction) == CAPACITY + 5
    assert eviction.add("one more", SIZE) == []  # nothing can go for it, and it is in use
    eviction.pin(frozenset())
    eviction.add("another", SIZE)
    assert eviction.nbytes <= eviction.budget


def test_skewed_demand_is_met_at_least_as_well_as_by_recency() -> None:
    dice, weights = random.Random(0), [1 / (rank + 1) ** 0.9 for rank in range(1000)]
    names = [str(rank) for rank in dice.choices(range(1000), weights, k=30_000)]
    least_recent = lru(CAPACITY)
    assert hits(S3Fifo(CAPACITY * SIZE), names) > sum(map(least_recent, names)) / len(names)


class Kept(RuleBasedStateMachine):
    """Any mix of calls: the books are right, and only what is pinned is over the budget."""

    def __init__(self) -> None:
        super().__init__()
        self.eviction, self.sizes, self.pinned = S3Fifo(100), dict[str, int](), frozenset[str]()

    @rule(name=NAMES, size=st.integers(0, 120))
    def add(self, name: str, size: int) -> None:
        if name in self.sizes:
            self.eviction.use(name)
            return
        self.sizes[name] = size
        gone = self.eviction.add(name, size)
        assert not self.pinned & set(gone)
        for each in gone:
            del self.sizes[each]

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        if self.sizes.pop(name, None) is not None:
            self.eviction.remove(name)

    @rule(names=st.frozensets(NAMES, max_size=4))
    def pin(self, names: frozenset[str]) -> None:
        self.eviction.pin(names)
        self.pinned = names

    @invariant()
    def the_books_are_right(self) -> None:
        assert len(self.eviction) == len(self.sizes)
        assert all(name in self.eviction for name in self.sizes)
        assert self.eviction.nbytes == sum(self.sizes.values())


Kept.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestKept = Kept.TestCase


@given(st.lists(st.tuples(NAMES, st.integers(1, 100)), max_size=60))
def test_without_pins_the_budget_is_kept(asked: list[tuple[str, int]]) -> None:
    eviction = S3Fifo(100)
    for name, size in asked:
        eviction.use(name) if name in eviction else eviction.add(name, size)
        assert eviction.nbytes <= 100
