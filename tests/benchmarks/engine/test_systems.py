"""Real systems over the small networks: ours and timm give the same answers, and ours those that define a task."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.engine.bare import best_rate, flops
from benchmarks.engine.bench import Bench
from benchmarks.engine.latency import address, serving
from benchmarks.engine.material import make
from benchmarks.measure import TOLERANCE, difference


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Shared material of the small networks."""
    folder = tmp_path_factory.mktemp("material")
    make(folder, quick=True)
    return Bench(folder, 6, 1, True, {})


def test_ours_and_timm_compute_the_same_features(bench: Bench) -> None:
    with (
        bench.ours("bare:build_bare", {"batch": 2}) as ours,
        bench.peer("timm_eager", {"batch": 2}, setting="tuned") as timm,
    ):
        reference = ours.answer("features")
        assert difference(reference, timm.answer("features")) <= TOLERANCE
        assert timm.facts["fused_attention"]
        assert np.abs(reference[0] - reference[1]).max() > 100 * TOLERANCE  # images are told apart at all


def test_mixed_rows_answer_what_each_answers_alone(bench: Bench) -> None:
    with bench.ours("sharing:build_mixed", {"batch": 4, "tasks": 12}) as ours:
        for call in ("mixed16", "mixed1000"):
            assert difference(ours.answer(f"reference_{call}"), ours.answer(f"check_{call}")) <= TOLERANCE
            assert difference(np.roll(ours.answer(f"reference_{call}"), 1, 0), ours.answer(f"check_{call}")) > 1e-2
        assert ours.facts["accounted_bytes"] == ours.facts["weight_bytes"]
        assert ours.answer("mixed1000").shape == (4, 10)


def test_a_fan_out_answers_what_single_passes_do_and_costs_fewer_flops(bench: Bench) -> None:
    with bench.ours("sharing:build_fanout", {"depths": [12]}) as ours:
        assert difference(ours.answer("single_12"), ours.answer("fanout_12")) <= TOLERANCE
        assert ours.facts["flops"]["fanout_12"] < ours.facts["flops"]["single_12"]


def test_a_full_model_for_each_task_answers_what_ours_do(bench: Bench) -> None:
    options = {"batch": 4, "tasks": 2, "width": 2}
    with (
        bench.ours("libraries:build_equal_parameters", options) as ours,
        bench.peer("full_models", options, setting="default") as them,
    ):
        assert difference(ours.answer("heads"), them.answer("mixed")) <= TOLERANCE


def test_the_padded_engine_answers_mixed_rows_as_the_reference_loop_does(bench: Bench) -> None:
    options = {"batch": 4, "tasks": 3, "calls": 2, "device": "cpu"}
    with bench.ours("cuda:build_cuda", options) as ours:
        assert difference(ours.answer("reference"), ours.answer("mixed16")) <= TOLERANCE
        assert ours.answer("features").shape[0] == 4
        assert ours.time("bare")[0] > 0
        assert len(ours.tell("one_image")["seconds"]) == 2


def test_swaps_point_to_the_version_asked_for(bench: Bench) -> None:
    with bench.ours("latency:build_swap", {"swaps": 4, "batch": 1, "tasks": 3}) as ours:
        assert {len(ours.tell(call)["seconds"]) for call in ours.calls} == {4}


def test_flops_of_a_product_are_counted_and_rated() -> None:
    assert flops((2, 3, 5)) == 60
    assert best_rate((64, 64, 64), seconds=0.01) > 1e6


def test_the_server_that_is_timed_is_the_real_one(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        assert address(process).startswith("http://127.0.0.1:")
    assert process.returncode == 0
