"""Times that are known are found again from what loads with these times spend."""

import pytest

from benchmarks.scaling.calibration import Spent, calibrated
from benchmarks.scaling.model import Shape, Times
from benchmarks.scaling.simulation import Load, simulate

LIGHT, FEW = Load(20.0, rate=80.0), Load(20.0, clients=8)


def spent(times: Times, load: Load) -> Spent:
    """A load as it would be measured."""
    found = simulate(Shape(times), load)
    engine = sum(times.forward(images) for images in found.batches)
    images = sum(found.batches)
    return Spent(images, len(found.batches), engine, images * (times.front + times.wake * found.woken / found.asked))


@pytest.mark.parametrize("wake", [0.0, 0.0008])
def test_the_times_are_found_again(wake: float) -> None:
    times = Times(image=0.0017, batch=0.0025, front=0.0015, wake=wake)
    found = calibrated([(load, spent(times, load)) for load in (LIGHT, FEW)], (16, times.forward(16)))
    assert (found.image, found.batch) == pytest.approx((times.image, times.batch), rel=1e-3)
    assert (found.front, found.wake) == pytest.approx((times.front, wake), rel=0.02, abs=1e-5)
    assert [found.forward(images) for images in (1, 2, 8, 16)] == pytest.approx(
        [times.forward(images) for images in (1, 2, 8, 16)], rel=1e-3
    )


def test_a_busy_front_that_seems_dearer_counts_as_never_asleep() -> None:
    times = Times(image=0.0017, batch=0.0025, front=0.0015)
    cheap, dear = spent(times, LIGHT), spent(Times(0.0017, 0.0025, 0.0016), FEW)
    assert calibrated([(LIGHT, cheap), (FEW, dear)], (16, times.forward(16))).wake == 0.0
    assert dear.seconds == pytest.approx(0.0025 / 4 + 0.0017 + 0.0016, rel=0.02)
