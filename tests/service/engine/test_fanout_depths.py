"""Wherever tasks leave the trunk, in every order: the answers are those of each alone, and the FLOPs those executed."""

import random

import numpy as np
import pytest

from backbone import Backbone
from benchmarks.synthetic import task_adapter
from service.engine import Engine, Resident, Row
from service.engine.accounting import trunk_flops
from tests.service.engine.conftest import TORCH_ONLY
from tests.service.engine.gate import Picture
from tests.service.engine.test_accounting import executed

SITES = 24

pytestmark = TORCH_ONLY  # it alone shares trunks, and its FLOPs can be counted


@pytest.fixture(scope="module")
def leaving(backbone: Backbone) -> list[Resident]:
    """For each site a task whose first adapter, of two, stands there; and at the end one without any."""
    engine, tasks = Engine(backbone), []
    for depth in range(SITES + 1):
        widths = [3 if site in (depth, SITES - 1) and site >= depth else 0 for site in range(SITES)]
        adapter = task_adapter(backbone, widths, classes=3, seed=depth)
        tasks.append(engine.admit(adapter, f"{depth}"))
    return tasks


def test_every_depth_alone_and_all_of_them_at_once(
    engine: Engine, backbone: Backbone, leaving: list[Resident], pixels: Picture
) -> None:
    trunk = trunk_flops(backbone)
    assert [task.first_site for task in leaving] == list(range(SITES + 1))
    assert [task.cost.trunk for task in leaving] == trunk
    alone = [engine.run([Row(task, pixels(0))])[0] for task in leaving]
    rows = [Row(task, pixels(0)) for task in leaving]
    for seed in range(3):
        random.Random(seed).shuffle(order := list(range(len(rows))))
        results = engine.run([rows[index] for index in order])
        for index, result in zip(order, results, strict=True):
            np.testing.assert_allclose(result.logits, alone[index].logits, rtol=1e-5, atol=1e-5)
            assert result.flops_spent + result.flops_shared == alone[index].flops_spent
    spent = sum(result.flops_spent for result in results)
    assert spent == sum(task.cost.spent - task.cost.trunk for task in leaving) + trunk[-1]
    assert executed(engine, rows) == spent


@pytest.mark.parametrize("depth", range(0, SITES, 3))
def test_two_tasks_that_part_at_one_depth_compute_its_trunk_once(
    engine: Engine, leaving: list[Resident], pixels: Picture, depth: int
) -> None:
    one, other = leaving[depth], leaving[min(SITES, depth + 1)]
    rows = [Row(task, pixels(image)) for task in (one, other, one) for image in (0, 1)]
    results = engine.run(rows)
    assert executed(engine, rows) == sum(result.flops_spent for result in results)
    shared = sum(result.flops_shared for result in results)
    assert shared == 2 * (one.cost.trunk + one.cost.spent)  # of each image: a trunk, and a row that is there twice
