"""Padded banks and recorded steps answer as exact products do.

A trace stands in for CUDA graphs: it repeats the operations of the first call on the present contents of the same
tensors. So a step that would be wrong as a graph is wrong here too.
"""

import gc
from collections.abc import Callable, Hashable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from adapters_store import TaskAdapter, unpack
from adapters_store.bundled import bundled_tasks
from backbone import Backbone
from benchmarks.synthetic import task_adapter
from service.engine import Engine, Resident, Row
from service.engine.padded import PaddedRuntime
from service.engine.padded.bank import FIRST_SLOTS
from service.engine.padded.graphs import Direct, Graphs, Player
from tests.service.engine.conftest import TASKS
from tests.service.engine.gate import Picture

CPU = torch.device("cpu")


class Traces:
    """A player that records operations, and refuses to play them back for other shapes."""

    def __init__(self) -> None:
        self.recordings: dict[Hashable, tuple[GraphModule, list[torch.Size]]] = {}
        self.played = 0

    def run(self, key: Hashable, function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Tensor:
        shapes = [tensor.shape for tensor in inputs]
        if key not in self.recordings:
            self.recordings[key] = make_fx(lambda given: function(*given))(list(inputs)), shapes
        else:
            self.played += 1
        trace, recorded = self.recordings[key]
        assert shapes == recorded, f"{key} promised the same launches"
        output: Tensor = trace(list(inputs))
        return output

    def forget(self) -> None:
        self.recordings.clear()


def close(ours: np.ndarray, reference: np.ndarray, *, within: float = 1e-5) -> bool:
    return float(np.abs(ours - reference).max()) <= within * max(1.0, float(np.abs(reference).max()))


def like(backbone: Backbone, adapter: TaskAdapter, *, seed: int) -> TaskAdapter:
    """Of the same widths, with other weights."""
    return task_adapter(backbone, adapter.manifest.widths, classes=5, seed=seed, initial_widths=[8] * 24)


def padded(backbone: Backbone, player: Player) -> Engine:
    return Engine(backbone, PaddedRuntime(backbone, device=CPU, dtype=torch.float32, player=player))


@pytest.fixture(scope="module", params=[Direct, Traces])
def ours(request: pytest.FixtureRequest, backbone: Backbone) -> Engine:
    return padded(backbone, request.param())


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(st.tuples(st.integers(0, TASKS - 1), st.integers(0, 3)), min_size=1, max_size=9))
def test_any_mix_of_tasks_and_images_is_answered_as_by_exact_products(
    ours: Engine, engine: Engine, residents: list[Resident], pixels: Picture, batch: list[tuple[int, int]]
) -> None:
    rows = [Row(residents[task], pixels(image)) for task, image in batch]
    for mine, theirs in zip(ours.run(rows), engine.run(rows), strict=True):
        assert close(mine.logits, theirs.logits)
        assert close(mine.features, theirs.features)
        assert mine.flops_spent == theirs.flops_spent


def test_a_plan_that_comes_often_is_played_back_whole(
    backbone: Backbone, residents: list[Resident], pixels: Picture, engine: Engine
) -> None:
    traces = Traces()
    ours = padded(backbone, traces)
    for image in range(8):
        rows = [Row(residents[task], pixels(image)) for task in (2, 5, 2)]
        for mine, theirs in zip(ours.run(rows), engine.run(rows), strict=True):
            assert close(mine.logits, theirs.logits)
    whole = [key for key in traces.recordings if isinstance(key, tuple) and key[0] == "whole"]
    assert len(whole) == 1
    assert traces.played >= 4


def test_a_swap_writes_a_slot_and_keeps_the_recordings(
    backbone: Backbone, adapters: list[TaskAdapter], pixels: Picture, engine: Engine
) -> None:
    traces = Traces()
    runtime = PaddedRuntime(backbone, device=CPU, dtype=torch.float32, player=traces)
    ours = Engine(backbone, runtime)
    for swap in range(3 * FIRST_SLOTS):  # more swaps than slots: each frees the one before
        fresh = like(backbone, adapters[1], seed=1000 + swap)
        mine, theirs = (each.admit(fresh, f"swap {swap}") for each in (ours, engine))
        (answer,), (expected,) = ours.run([Row(mine, pixels(0))]), engine.run([Row(theirs, pixels(0))])
        assert close(answer.logits, expected.logits)
        if swap == 0:
            nbytes = ours.usage().nbytes
        if swap == 5:
            recordings = dict(traces.recordings)
        ours.evict(f"swap {swap}")
        del mine, answer
        gc.collect()
    assert traces.recordings == recordings
    assert ours.usage().nbytes == nbytes


def test_a_full_class_moves_and_what_was_recorded_is_forgotten(
    backbone: Backbone, adapters: list[TaskAdapter], pixels: Picture, engine: Engine
) -> None:
    ours = padded(backbone, Traces())
    tasks = [like(backbone, adapters[1], seed=2000 + seed) for seed in range(FIRST_SLOTS + 2)]
    mine = [ours.admit(task, f"many {seed}") for seed, task in enumerate(tasks)]
    theirs = [engine.admit(task, f"many {seed}") for seed, task in enumerate(tasks)]
    for _ in range(2):
        for a, b in zip(mine, theirs, strict=True):
            (answer,), (expected,) = ours.run([Row(a, pixels(1))]), engine.run([Row(b, pixels(1))])
            assert close(answer.logits, expected.logits)


@pytest.mark.parametrize(("dtype", "within"), [(torch.bfloat16, 0.01), (torch.float16, 0.001)])
def test_golden_samples_of_the_tasks_that_ship_come_out_in_half_precision(
    backbone: Backbone, dtype: torch.dtype, within: float
) -> None:
    """As a share of the largest logit. With norms and sums in bfloat16 it was 0.033 on the older backbone's digits."""
    ours = Engine(backbone, PaddedRuntime(backbone, device=CPU, dtype=dtype))
    for task, data in bundled_tasks().items():
        adapter = unpack(data)
        image = backbone.preprocessing.pixels(Image.fromarray(adapter.golden_image))
        (answer,) = ours.run([Row(ours.admit(adapter, task), image)])
        assert np.abs(answer.logits - adapter.golden_logits).max() < within * np.abs(adapter.golden_logits).max()


def test_bfloat16_is_near(backbone: Backbone, residents: list[Resident], pixels: Picture, engine: Engine) -> None:
    ours = Engine(backbone, PaddedRuntime(backbone, device=CPU, dtype=torch.bfloat16))
    rows = [Row(residents[task], pixels(task)) for task in range(TASKS)]
    for mine, theirs in zip(ours.run(rows), engine.run(rows), strict=True):
        assert mine.logits.dtype == np.float32
        assert close(mine.logits, theirs.logits, within=0.02)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_graphs_on_a_gpu_answer_as_exact_products_on_the_cpu(
    backbone: Backbone, residents: list[Resident], pixels: Picture, engine: Engine
) -> None:
    device = torch.device("cuda")
    ours = Engine(backbone, PaddedRuntime(backbone, device=device, dtype=torch.float32, player=Graphs(most=64)))
    for round_ in range(6):  # recorded by steps, then whole, then played back
        rows = [Row(residents[(task + round_ // 5) % TASKS], pixels(task)) for task in range(TASKS)]
        for mine, theirs in zip(ours.run(rows), engine.run(rows), strict=True):
            assert close(mine.logits, theirs.logits, within=1e-3)
