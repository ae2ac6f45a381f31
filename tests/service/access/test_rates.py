"""Limits of a key, by rate and by concurrency; a client that waits as long as it is told is admitted."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.keys import KeyLimits, NamedKey, Scope
from service.access.rates import Quotas
from service.errors import QuotaExceeded, RateLimited, TooManyUnderWay
from tests.service.hostile import quick


class Clock:
    """A clock in seconds that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def key(limits: KeyLimits, name: str = "a") -> NamedKey:
    return NamedKey(name, Scope.PREDICT, name.encode(), limits)


def ask(quotas: Quotas, who: NamedKey) -> None:
    with quotas.admitted(who):
        pass


def allowed(call: Callable[[], None], most: int = 1000) -> int:
    """The number of calls that are admitted before one must wait."""
    count = 0
    while count < most:
        try:
            call()
        except QuotaExceeded:
            break
        count += 1
    return count


def test_without_limits_nothing_is_refused() -> None:
    quotas, who = Quotas(Clock()), key(KeyLimits())
    assert allowed(lambda: ask(quotas, who)) == 1000


@pytest.mark.parametrize(
    ("limits", "at_once"),
    [(KeyLimits(rate=5), 5), (KeyLimits(rate=0.1), 1), (KeyLimits(rate=2.5), 3), (KeyLimits(rate=0.1, burst=7), 7)],
)
def test_a_quiet_key_may_ask_a_second_s_worth_or_its_burst_at_once(limits: KeyLimits, at_once: int) -> None:
    clock = Clock()
    quotas, who = Quotas(clock), key(limits)
    for _ in range(2):
        assert allowed(lambda: ask(quotas, who)) == at_once
        clock.now += 1e6


def test_in_the_long_run_the_rate_counts() -> None:
    clock = Clock()
    quotas, who, count = Quotas(clock), key(KeyLimits(rate=10, burst=5)), 0
    for _ in range(1000):
        clock.now += 0.05
        count += allowed(lambda: ask(quotas, who))
    assert 500 <= count <= 506


@quick
@given(st.floats(1e-3, 1e4), st.integers(0, 50), st.lists(st.floats(0, 3), max_size=20))
def test_who_waits_as_long_as_told_is_let_in_and_a_second_less_is_too_early(
    rate: float, burst: int, pauses: list[float]
) -> None:
    clock = Clock()
    quotas, who = Quotas(clock), key(KeyLimits(rate, burst))
    for pause in pauses:
        clock.now += pause
        allowed(lambda: ask(quotas, who))
    allowed(lambda: ask(quotas, who), most=20_000)
    with pytest.raises(RateLimited) as refused:
        ask(quotas, who)
    wait = refused.value.retry_after
    if wait > 1:
        clock.now += wait - 1.001
        with pytest.raises(RateLimited):
            ask(quotas, who)
        clock.now -= wait - 1.001
    clock.now += wait
    ask(quotas, who)


def test_only_so_many_are_under_way_and_places_come_back_whatever_happens() -> None:
    quotas, who = Quotas(Clock()), key(KeyLimits(concurrency=2))

    def fail() -> None:
        with quotas.admitted(who):
            with pytest.raises(TooManyUnderWay) as refused:
                ask(quotas, who)
            assert refused.value.retry_after == 1
            raise ZeroDivisionError

    with quotas.admitted(who):
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                fail()
        ask(quotas, who)


def test_a_refusal_for_concurrency_costs_nothing_of_the_rate() -> None:
    clock = Clock()
    quotas, who = Quotas(clock), key(KeyLimits(rate=1, burst=2, concurrency=1))
    with quotas.admitted(who), pytest.raises(TooManyUnderWay):
        ask(quotas, who)
    ask(quotas, who)
    with pytest.raises(RateLimited):
        ask(quotas, who)


def test_keys_do_not_share_and_the_forgotten_begin_anew() -> None:
    quotas, limits = Quotas(Clock()), KeyLimits(rate=0.01)
    one, two = key(limits, "a"), key(limits, "b")
    ask(quotas, one)
    ask(quotas, two)
    quotas.keep({one.digest})
    with pytest.raises(RateLimited):
        ask(quotas, one)
    ask(quotas, two)


def test_new_limits_of_a_key_count_at_once() -> None:
    quotas = Quotas(Clock())
    ask(quotas, key(KeyLimits(rate=0.01)))
    with pytest.raises(RateLimited):
        ask(quotas, key(KeyLimits(rate=0.01, burst=9)))
    ask(quotas, key(KeyLimits()))
