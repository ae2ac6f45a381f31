"""Latency counts from when a request was due; a rate does not depend on where a batch was cut; goals by their keys."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.serving.figures import Call, answered_per_second, arrivals, headlines, percentile, spread, summary

KEYS = {
    "http_vs_engine",
    "vs_litserve_bundled",
    "vs_litserve_swin_t",
    "p99_at_60_vs_forward",
    "added_latency_p50_ms",
    "tasks64_vs_1",
    "goodput_at_200_bundled",
    "goodput_at_200_swin_t",
}


def test_latency_counts_from_when_the_request_was_due() -> None:
    assert Call(due=1.0, sent=4.0, done=4.5, status=200).latency == 3.5


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.sampled_from([1, 50, 95, 99, 100]))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values: list[float], percent: int) -> None:
    found = percentile(values, percent)
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_requests_come_at_their_rate_in_order_and_the_same_each_time() -> None:
    times = arrivals(50.0, 100.0, seed=1)
    assert times == arrivals(50.0, 100.0, seed=1) != arrivals(50.0, 100.0, seed=2)
    assert times == sorted(times)
    assert 0 < times[0] <= times[-1] < 100.0
    assert abs(len(times) - 5000) < 4 * math.sqrt(5000)


@pytest.mark.parametrize("cut", range(16))
def test_the_rate_of_batches_hardly_depends_on_where_the_load_ends(cut: int) -> None:
    times = [1.0 + index // 16 for index in range(160 + cut)]
    assert answered_per_second(times) == pytest.approx(16, rel=0.04)


def test_the_warm_up_and_failures_are_no_latencies() -> None:
    calls = [
        Call(0.0, 0.0, 9.0, 200),
        Call(2.0, 2.0, 2.5, 200),
        Call(3.0, 3.0, 3.5, 200),
        Call(3.0, 3.0, math.inf, 503),
    ]
    told = summary(calls, warmup=1.0, seconds=5.0)
    assert (told["requests"], told["failed"], told["p99_ms"]) == (3, 1, 500.0)
    assert told["per_second"] == pytest.approx(1.0)


def test_a_server_that_fell_behind_while_warming_up_answers_all_the_same() -> None:
    calls = [Call(index / 2, index / 2, float(index), 200) for index in range(20)]  # two come in a second, one goes
    assert summary(calls, warmup=5.0, seconds=5.0)["per_second"] == pytest.approx(1.0)


def test_a_spread_keeps_every_round() -> None:
    assert spread([3.0, 1.0, 2.0]).rounds == [3.0, 1.0, 2.0]
    assert (spread([3.0, 1.0, 2.0]).median, spread([3.0, 1.0, 2.0]).lowest) == (2.0, 1.0)


def _round(scale: float) -> dict[str, object]:
    ours = {
        "closed": {"per_second": 18.0 * scale},
        "closed_again": {"per_second": 22.0 * scale},
        "closed_64": {"per_second": 19.0 * scale},
        "open": {"60": {"p99_ms": 300.0}, "200": {"per_second": 17.1 * scale}},
        "unloaded": {"added_p50_ms": 4.0},
    }
    alone = {"per_second": 20.0 * scale, "forward_ms": 150.0}
    return {"ours": ours, "alone": alone, "litserve": {"closed": {"per_second": 12.0 * scale}}}


def test_the_goals_are_medians_of_ratios_within_rounds() -> None:
    told = headlines({"bundled": [_round(1)], "swin_t": [_round(1), _round(5), _round(0.1)]})
    assert told.keys() == KEYS | {"spreads"}
    assert told["http_vs_engine"] == pytest.approx(0.9)
    assert told["vs_litserve_bundled"] == told["vs_litserve_swin_t"] == pytest.approx(1.5)
    assert (told["p99_at_60_vs_forward"], told["added_latency_p50_ms"]) == (2.0, 4.0)
    assert told["tasks64_vs_1"] == pytest.approx(0.95)
    assert told["goodput_at_200_bundled"] == told["goodput_at_200_swin_t"] == pytest.approx(0.95)
    assert len(told["spreads"]["http_vs_engine"]["rounds"]) == 3


def test_what_was_not_measured_has_no_figure() -> None:
    told = headlines({"bundled": [{"ours": {"closed": {"per_second": 1.0}}, "alone": {}}]})
    assert {told[key] for key in KEYS} == {None}
