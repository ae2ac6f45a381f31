"""Recordings share a pool of memory, and no pool is opened again after its last recording is gone."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from weakref import finalize

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from backbone import Backbone
from benchmarks.synthetic import task_adapter
from service.engine import Engine, Row
from service.engine.padded import PaddedRuntime
from service.engine.padded.graphs import Graphs, Recording
from tests.service.engine.gate import Picture

CPU = torch.device("cpu")


@dataclass(eq=False)
class Pool:
    """As PyTorch's allocator counts: graphs that use a pool, and allocations in it that are alive."""

    graphs: int = 0
    allocations: int = 0
    closed: bool = False


class Trace:
    """A graph on the CPU: it runs the recorded operations on its inputs' places, and writes its output's place."""

    def __init__(self, function: Callable[..., Tensor], inputs: Sequence[Tensor], pool: Pool) -> None:
        self._trace = make_fx(lambda given: function(*given))(list(inputs))
        self._inputs, self.pool = list(inputs), pool
        self.output: Tensor = self._trace(self._inputs)
        pool.graphs += 1

    def replay(self) -> None:
        self.output.copy_(self._trace(self._inputs))


@dataclass
class TraceRecorder:
    """Records traces, and asserts what PyTorch's allocator does: a pool that closed with allocations stays shut."""

    pools: list[Pool] = field(default_factory=list)
    recorded: int = 0

    def new_pool(self) -> Pool:
        self.pools.append(Pool())
        return self.pools[-1]

    def record(self, function: Callable[..., Tensor], inputs: Sequence[Tensor], pool: Pool) -> Recording:
        assert not (pool.closed and pool.allocations), "a pool is opened again while its allocations are alive"
        trace = Trace(function, [each.clone() for each in inputs], pool)
        self.recorded += 1
        finalize(trace, self._close, pool)
        pool.allocations += 1
        finalize(trace.output, self._free, pool)
        return Recording(trace, trace._inputs, trace.output)

    @staticmethod
    def _close(pool: Pool) -> None:
        pool.graphs -= 1
        pool.closed = pool.graphs == 0

    @staticmethod
    def _free(pool: Pool) -> None:
        pool.allocations -= 1


def test_outputs_alive_after_forgetting_are_in_a_pool_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = TraceRecorder()
    graphs = Graphs(most=8, recorder=recorder)
    alive = [graphs.run(key, torch.neg, [torch.ones(2)]) for key in range(3)]
    graphs.forget()
    assert (recorder.pools[0].closed, recorder.pools[0].allocations) == (True, 3)
    graphs.run(0, torch.neg, [torch.ones(2)])
    assert [pool.graphs for pool in recorder.pools] == [0, 1]
    alive.clear()
    assert recorder.pools[0].allocations == 0
    monkeypatch.setattr(recorder, "new_pool", lambda: recorder.pools[-1])  # as one pool for ever would be
    kept = graphs.run(1, torch.neg, [torch.ones(2)])
    graphs.forget()
    with pytest.raises(AssertionError, match="opened again"):
        graphs.run(0, torch.neg, [kept])


def test_growing_classes_drop_recordings_and_keep_answers(backbone: Backbone, pixels: Picture, engine: Engine) -> None:
    recorder = TraceRecorder()
    ours = Engine(
        backbone,
        PaddedRuntime(backbone, device=CPU, dtype=torch.float32, player=Graphs(most=64, recorder=recorder)),
    )
    tasks = [task_adapter(backbone, [0] * 22 + [3, 3], classes=5, seed=seed) for seed in range(64)]
    for number, task in enumerate(tasks):
        mine, theirs = (each.admit(task, str(number)) for each in (ours, engine))
        answer, right = (each.run([Row(row, pixels(number))])[0] for each, row in ((ours, mine), (engine, theirs)))
        np.testing.assert_allclose(answer.logits, right.logits, atol=1e-4)
    assert len(recorder.pools) == 1 + 3  # 16, 32 and 64 slots were too few
    assert [pool.graphs > 0 for pool in recorder.pools] == [False, False, False, True]


def test_the_least_recently_used_recording_goes_first() -> None:
    recorder = TraceRecorder()
    graphs = Graphs(most=2, recorder=recorder)
    keys: list[Hashable] = [0, 1, 0, 2, 0, 1]  # 2 pushes 1 out, and then 1 pushes 2 out
    for key in keys:
        graphs.run(key, torch.neg, [torch.ones(2)])
    assert recorder.recorded == 4
    assert recorder.pools[0].graphs == 2


def test_a_replay_reads_what_it_is_given() -> None:
    graphs = Graphs(most=2, recorder=TraceRecorder())
    for value in (1.0, 2.0, 3.0):
        assert graphs.run("key", torch.neg, [torch.full((2,), value)]).tolist() == [-value, -value]
