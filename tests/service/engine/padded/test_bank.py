"""The bank reports the bytes that its tensors occupy, and holds its budget: past it, tasks leave the device."""

import gc
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from adapters_store import TaskAdapter
from backbone import Backbone
from benchmarks.synthetic import task_adapter
from service.engine import Engine, Resident, Row
from service.engine.cache import TierUsage
from service.engine.padded import PaddedRuntime
from service.engine.padded.bank import FIRST_SLOTS, Bank, Blocking
from tests.service.engine.gate import Picture

CPU = torch.device("cpu")
ONE = 60_000  # bytes that one of the tasks below occupies at most


def occupied(bank: Bank) -> int:
    """Bytes of the bank's tensors, counted one by one."""
    return sum(tensor.nbytes for slab in bank._slabs.values() for tensor in slab.tensors)


def bank_of(budget: int, dtype: torch.dtype = torch.float32) -> Bank:
    return Bank(device=CPU, dtype=dtype, transfer=Blocking(CPU), budget=budget)


@pytest.fixture(scope="module")
def engine_of_many(backbone: Backbone) -> Engine:
    return Engine(backbone)


@pytest.fixture(scope="module")
def many(backbone: Backbone) -> list[TaskAdapter]:
    """Sixty tasks, of which neighbours differ in their size classes."""
    widths = [[4] * 4 + [0] * 20, [0] * 4 + [9] * 2 + [0] * 18, [0] * 22 + [3, 20]]
    return [task_adapter(backbone, widths[seed % 3], classes=3, seed=seed) for seed in range(60)]


@pytest.fixture
def tasks(engine_of_many: Engine, many: list[TaskAdapter]) -> list[Resident]:
    return [engine_of_many.weights_of(task, f"{number}") for number, task in enumerate(many)]


def used(bank: Bank, tasks: Sequence[Resident]) -> TierUsage:
    """Compute with each task, one after the other."""
    for task in tasks:
        bank.slots([task])
        assert bank.nbytes == occupied(bank)
    return bank.usage()


def test_bytes_are_those_of_its_tensors_padding_and_free_slots_included(tasks: list[Resident]) -> None:
    bank = bank_of(2**30)
    usage = used(bank, tasks)
    assert (usage.tasks, usage.nbytes, usage.evictions) == (60, occupied(bank), 0)
    assert usage.nbytes > sum(task.nbytes for task in tasks)
    assert bank_of(2**30).usage().nbytes == 0


def test_adapters_in_half_precision_occupy_half_and_heads_do_not(tasks: list[Resident]) -> None:
    full, half = (used(bank_of(2**30, dtype), tasks[:3]).nbytes for dtype in (torch.float32, torch.bfloat16))
    assert full / 2 < half < full


@pytest.mark.parametrize("budget", [10 * ONE, 20 * ONE, 60 * ONE])
def test_past_the_budget_the_least_recently_used_tasks_leave(tasks: list[Resident], budget: int) -> None:
    bank = bank_of(budget)
    for _ in range(3):
        for task in tasks:
            bank.slots([task])
            assert bank.nbytes == occupied(bank) <= budget
    usage = bank.usage()
    assert 0 < usage.tasks < len(tasks)
    assert usage.evictions > 0
    bank.slots(tasks[-1:])
    assert bank.usage().hits == usage.hits + 1  # the last one used is there


def test_a_task_that_left_answers_as_before(
    backbone: Backbone, many: list[TaskAdapter], engine_of_many: Engine, pixels: Picture
) -> None:
    ours = Engine(backbone, PaddedRuntime(backbone, device=CPU, dtype=torch.float32, budget=20 * ONE))
    mine = [ours.admit(task, str(number)) for number, task in enumerate(many)]
    theirs = [engine_of_many.weights_of(task, str(number)) for number, task in enumerate(many)]
    dice = np.random.default_rng(0)
    for image in range(40):
        batch = dice.integers(0, len(many), 3)
        answers = ours.run([Row(mine[task], pixels(image)) for task in batch])
        expected = engine_of_many.run([Row(theirs[task], pixels(image)) for task in batch])
        for answer, right in zip(answers, expected, strict=True):
            np.testing.assert_allclose(answer.logits, right.logits, atol=1e-4)
        assert ours.tiers()["device"].nbytes <= 20 * ONE
    assert ours.tiers()["device"].evictions > 0
    assert ours.tiers()["host"].evictions == 0


def test_the_tasks_of_one_batch_and_pinned_ones_may_exceed_the_budget(tasks: list[Resident]) -> None:
    bank = bank_of(ONE)
    bank.pin({"0"})
    bank.slots(tasks[:9])
    assert bank.usage().tasks == 9
    assert bank.nbytes > ONE
    used(bank, tasks[9:12])
    usage = bank.usage()
    assert usage.pinned == 1
    assert usage.tasks < 4
    bank.slots(tasks[:1])
    assert bank.usage().hits == usage.hits + 1


def test_slots_of_residents_that_are_gone_are_used_again(engine_of_many: Engine, many: list[TaskAdapter]) -> None:
    bank = bank_of(2**30)
    for swap in range(3 * FIRST_SLOTS):
        bank.slots([engine_of_many.weights_of(many[0], f"{swap}")])
        gc.collect()
        if swap == 0:
            nbytes = bank.nbytes
    assert bank.nbytes == nbytes
    assert bank.usage().tasks == 0


def test_engine_tells_what_lies_where(backbone: Backbone, many: list[TaskAdapter], pixels: Picture) -> None:
    ours = Engine(backbone, PaddedRuntime(backbone, device=CPU, dtype=torch.float32, budget=2**20), budget=2**21)
    one = ours.admit(many[0], "0")
    assert {tier: usage.tasks for tier, usage in ours.tiers().items()} == {"device": 0, "host": 1}
    ours.run([Row(one, pixels(0))])
    device, host = ours.tiers()["device"], ours.tiers()["host"]
    assert (device.tasks, device.budget, host.budget) == (1, 2**20, 2**21)
    assert host.nbytes == one.nbytes < device.nbytes
    assert (ours.usage().tasks, ours.usage().nbytes) == (1, device.nbytes)
