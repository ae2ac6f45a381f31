"""Tasks of the benchmark are as uneven as pruned ones, and have the stated number of bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone import load_backbone
from benchmarks.engine.material import full_widths, many_pruned, pruned_widths, task_of, weight_bytes
from benchmarks.measure import percentile
from service.engine import Engine


@given(seed=st.integers(0, 10_000), share=st.floats(0.01, 1.0))
def test_pruning_keeps_exactly_as_many_neurons_and_no_more_than_there_were(seed: int, share: float) -> None:
    initial = [12] * 4 + [24] * 4 + [48] * 12 + [96] * 4  # Swin-T, N = M/8
    widths = pruned_widths(initial, round(share * sum(initial)), seed=seed)
    assert sum(widths) == round(share * sum(initial))
    assert all(0 <= width <= most for width, most in zip(widths, initial, strict=True))


def test_pruned_tasks_lose_sites_and_differ_in_which() -> None:
    initial = [12] * 4 + [24] * 4 + [48] * 12 + [96] * 4
    live = [tuple(width > 0 for width in pruned_widths(initial, 276, seed=seed)) for seed in range(30)]
    assert len(set(live)) == 30
    assert 8 <= np.mean([sum(each) for each in live]) <= 12


def test_the_bank_holds_the_bytes_that_the_weights_have() -> None:
    engine = Engine(load_backbone())
    adapter = task_of(engine.backbone, full_widths(engine.backbone, first=20), seed=0)
    assert min(adapter.sites) == 20
    assert engine.admit(adapter, "one").nbytes == weight_bytes(adapter)
    residents, nbytes = many_pruned(engine, 3, first_seed=0)
    assert sum(resident.nbytes for resident in residents) == nbytes
    assert len({resident.sha256 for resident in residents}) == 3


def test_a_percentile_is_an_order_statistic_between_two_others() -> None:
    found = percentile(range(1000, 0, -1), 0.99)
    assert found.median == 990
    assert found.low < 990 < found.high <= 1000
    with pytest.raises(ValueError, match="at least 100"):
        percentile([1.0] * 99, 0.99)
