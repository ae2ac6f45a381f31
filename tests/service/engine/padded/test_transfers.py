"""Weights are sent ahead of the batch that needs them, and no batch reads what has not arrived."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from adapters_store import TaskAdapter
from backbone import Backbone
from benchmarks.synthetic import task_adapter
from service.engine import Engine, Resident, Row
from service.engine.padded import PaddedRuntime
from service.engine.padded.bank import FIRST_SLOTS, Blocking, Overlapped, Wait
from tests.service.engine.gate import Picture

CPU = torch.device("cpu")


class Late(Blocking):
    """Sends nothing before somebody waits for it, as a stream may; remembers how often it was asked to."""

    def __init__(self) -> None:
        super().__init__(CPU)
        self.sent = self.arrived = self.fences = 0

    def send(self, block: Tensor, write: Callable[[Tensor], None]) -> Wait:
        self.sent += 1
        left = [block]

        def wait() -> None:
            while left:
                super(Late, self).send(left.pop(), write)
                self.arrived += 1

        return wait

    def fence(self) -> None:
        assert self.sent == self.arrived, "the places of what is still being written have moved"
        self.fences += 1


@pytest.fixture
def transfer() -> Late:
    return Late()


@pytest.fixture
def ours(backbone: Backbone, transfer: Late) -> Engine:
    return Engine(backbone, PaddedRuntime(backbone, device=CPU, dtype=torch.float32, transfer=transfer))


def many(backbone: Backbone, adapter: TaskAdapter, count: int) -> list[TaskAdapter]:
    widths = adapter.manifest.widths
    return [task_adapter(backbone, widths, classes=5, seed=seed, initial_widths=[8] * 24) for seed in range(count)]


def answers(engine: Engine, resident: Resident, pixels: Picture) -> np.ndarray:
    return engine.run([Row(resident, pixels(0))])[0].logits


def test_weights_are_on_their_way_when_a_task_becomes_resident_and_have_arrived_when_it_is_asked(
    backbone: Backbone, adapters: list[TaskAdapter], ours: Engine, transfer: Late, engine: Engine, pixels: Picture
) -> None:
    first, second = many(backbone, adapters[1], 2)
    answers(ours, ours.admit(first, "first"), pixels)  # makes the classes
    assert (transfer.sent, transfer.arrived) == (1, 1)
    mine = ours.admit(second, "second")
    assert (transfer.sent, transfer.arrived) == (2, 1)
    expected = answers(engine, engine.admit(second, "second"), pixels)
    np.testing.assert_allclose(answers(ours, mine, pixels), expected, atol=1e-5)
    assert (transfer.sent, transfer.arrived) == (2, 2)


def test_a_class_does_not_move_under_what_is_being_written(
    backbone: Backbone, adapters: list[TaskAdapter], ours: Engine, transfer: Late, engine: Engine, pixels: Picture
) -> None:
    tasks = many(backbone, adapters[1], FIRST_SLOTS + 4)
    answers(ours, ours.admit(tasks[0], "0"), pixels)
    mine = [ours.admit(task, str(number)) for number, task in enumerate(tasks)]
    assert transfer.sent == FIRST_SLOTS - 1  # there is room for no more, and a load does not make any
    fences = transfer.fences
    for number, task in reversed(list(enumerate(tasks))):
        expected = answers(engine, engine.admit(task, str(number)), pixels)
        np.testing.assert_allclose(answers(ours, mine[number], pixels), expected, atol=1e-5)
    assert transfer.fences > fences
    assert transfer.arrived == transfer.sent == len(tasks)


def test_what_is_loaded_ahead_is_sent_too(
    backbone: Backbone, adapters: list[TaskAdapter], ours: Engine, transfer: Late, pixels: Picture
) -> None:
    first, second = many(backbone, adapters[1], 2)
    answers(ours, ours.admit(first, "first"), pixels)
    resident, kept = ours.load("second", lambda: ours.weights_of(second, "second"), evicting=False)
    assert kept
    assert transfer.sent == 2
    assert ours.admit(second, "second") is resident
    assert transfer.sent == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_stream_writes_beside_a_batch_and_is_waited_for(
    backbone: Backbone, adapters: list[TaskAdapter], engine: Engine, pixels: Picture
) -> None:
    device = torch.device("cuda")
    runtime = PaddedRuntime(backbone, device=device, dtype=torch.float32, transfer=Overlapped(device))
    ours = Engine(backbone, runtime)
    for number, task in enumerate(many(backbone, adapters[1], 3 * FIRST_SLOTS)):
        mine, theirs = (each.admit(task, str(number)) for each in (ours, engine))
        np.testing.assert_allclose(answers(ours, mine, pixels), answers(engine, theirs, pixels), atol=1e-3)
