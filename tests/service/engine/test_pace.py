"""The model of the pace is right where the truth is a line, follows a change, and never promises the impossible."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters_store import TaskAdapter
from service.engine import Cost, Row
from service.engine.queueing import Bulk
from service.engine.weights import resident_of
from service.engine.worker import Pace


def learn(pace: Pace, slope: float, start: float, batches: int = 60, *, noise: float = 0.0) -> None:
    dice = np.random.default_rng(0)
    for images in dice.integers(1, 17, batches):
        pace.observe(images, (slope * images + start) * float(np.exp(noise * dice.normal())))


def test_before_it_has_learnt_anything_it_promises_nothing() -> None:
    pace = Pace()
    for _ in range(7):
        pace.observe(4, 1.0)
    assert pace.seconds(100) == 0.0
    pace.observe(4, 1.0)
    assert pace.seconds(4) == pytest.approx(1.0)


def test_a_line_is_found() -> None:
    pace = Pace()
    learn(pace, 0.02, 0.05)
    assert (pace.seconds(0), pace.seconds(10), pace.seconds(30, batches=2)) == pytest.approx((0.05, 0.25, 0.7))


def test_noise_is_averaged() -> None:
    pace = Pace()
    learn(pace, 0.02, 0.05, 200, noise=0.2)
    assert pace.seconds(8) == pytest.approx(0.21, rel=0.15)


def test_a_change_is_followed() -> None:
    pace = Pace()
    learn(pace, 0.02, 0.05)
    learn(pace, 0.06, 0.15, 150)
    assert pace.seconds(8) == pytest.approx(3 * 0.21, rel=0.1)


@given(st.lists(st.tuples(st.floats(0.1, 64), st.floats(1e-4, 10)), min_size=8, max_size=40))
def test_more_never_takes_less(batches: list[tuple[float, float]]) -> None:
    pace = Pace()
    for images, seconds in batches:
        pace.observe(images, seconds)
    times = [pace.seconds(images) for images in (0, 1, 2, 16, 64)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] > 0


def test_the_deepest_trunk_of_an_image_counts_once(adapters: list[TaskAdapter]) -> None:
    image, bulk = np.zeros(1, np.uint8), Bulk()
    for share in (0.5, 0.9, 0.9):
        bulk.add(Row(resident_of(adapters[0], "a", Cost(1000, 0, round(1000 * share))), image))
    assert bulk.images == pytest.approx(0.9 + 0.5 + 0.1 + 0.1)
