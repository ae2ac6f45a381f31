"""The formulas, by values that can be computed by hand."""

import numpy as np
import pytest

from benchmarks.scaling.model import (
    Prices,
    Shape,
    Store,
    Times,
    fitted,
    hit_rate,
    separate_fleet,
    shared_fleet,
    zipf,
)

TIMES = Times(image=0.002, batch=0.002, front=0.001)


def test_a_shared_core_does_both_and_two_cores_the_slower_one() -> None:
    assert Shape(TIMES).capacity(1) == pytest.approx(1 / 0.005)
    assert Shape(TIMES, shared=False).capacity(1) == pytest.approx(1 / 0.004)
    assert Shape(Times(0.002, 0.0, 0.003), shared=False).capacity(1) == pytest.approx(1 / 0.003)


def test_measured_batches_are_interpolated() -> None:
    times = Times(0.002, 0.002, 0.001, measured=((2.0, 0.006), (4.0, 0.009), (16.0, 0.033)))
    found = [times.forward(images) for images in (1, 2, 3, 4, 10, 16, 22)]
    assert found == pytest.approx([0.0045, 0.006, 0.0075, 0.009, 0.021, 0.033, 0.045])
    assert Shape(times).limit == pytest.approx(16 / 0.049)


def test_popularity_sums_to_one_and_falls_as_zipf_says() -> None:
    popularity = zipf(1000, 1.0)
    assert popularity.sum() == pytest.approx(1.0)
    assert popularity[0] / popularity[9] == pytest.approx(10.0)
    assert np.ptp(zipf(10, 0.0)) == 0.0


def test_a_memory_of_equal_tasks_answers_its_share_of_them() -> None:
    assert hit_rate(zipf(1000, 0.0), 250) == pytest.approx(0.25, abs=1e-3)
    assert hit_rate(zipf(1000, 1.0), 1000) == 1.0
    assert hit_rate(zipf(1000, 1.0), 250) > 0.6


def test_times_are_found_again() -> None:
    assert fitted([(n, 0.003 + 0.002 * n) for n in (1, 4, 16)]) == pytest.approx((0.002, 0.003))


def test_the_store_is_read_by_every_replica() -> None:
    store = Store(task_bytes=100.0, follow_seconds=2.0)
    assert store.reads(4, rate=10.0, misses=0.1, changes=0.5) == pytest.approx(2 + 4 + 1)
    assert store.bytes(4, rate=10.0, misses=0.1, changes=0.5) == pytest.approx(100 * (2 + 1))


def test_cost_is_that_of_cores_memory_and_reads() -> None:
    prices = Prices(core_hour=0.1, gib_hour=0.01, read=1e-6)
    shape = Shape(Times(image=0.008, batch=0.016, front=0.001))  # 100 a second in full batches, 40 in batches of one
    replicas, fleet = shared_fleet(shape, rate=594.0, gib=2.0, reads=10.0, prices=prices)
    assert replicas == 10
    assert fleet.per_million == pytest.approx((10 * 0.1 + 20 * 0.01 + 36_000 * 1e-6) / (594 * 3600) * 1e6)
    separate = separate_fleet(shape, tasks=1000, rate=594.0, gib=0.1, prices=prices)
    assert separate.cores == pytest.approx(24.75)
    assert separate.gib == pytest.approx(200.0 + 24.75)
    few = shared_fleet(shape, rate=1.0, gib=2.0, prices=prices)[0]
    assert few == 2
