"""The accounts equal the executed FLOPs exactly."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from backbone import Backbone, flops_of
from benchmarks.synthetic import task_adapter
from service.engine import Cost, Engine, Resident, Row
from service.engine.accounting import cost_of, spent_by, trunk_flops
from tests.service.engine.conftest import TASKS, TORCH_ONLY
from tests.service.engine.gate import Picture


def executed(engine: Engine, rows: list[Row]) -> int:
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # fused attention goes uncounted
        engine.run(rows)
    return int(counter.get_total_flops())


@TORCH_ONLY
@pytest.mark.parametrize("images", [1, 3])
def test_flops_spent_are_the_flops_executed(
    engine: Engine, residents: list[Resident], pixels: Picture, images: int
) -> None:
    rows = [Row(residents[i % TASKS], pixels(i)) for i in range(images * TASKS)]
    assert executed(engine, rows) == sum(result.flops_spent for result in engine.run(rows))


@TORCH_ONLY
@pytest.mark.parametrize("copies", [1, 2])
def test_what_is_shared_is_executed_once_and_divided_among_those_who_share_it(
    engine: Engine, residents: list[Resident], pixels: Picture, copies: int
) -> None:
    rows = [Row(resident, pixels(0)) for resident in residents * copies] + [Row(residents[3], pixels(1))]
    results = engine.run(rows)
    assert executed(engine, rows) == sum(result.flops_spent for result in results)
    for row, result in zip(rows, results, strict=True):
        assert result.flops_spent + result.flops_shared == row.resident.cost.spent
    assert results[-1].flops_shared == 0
    assert all(result.flops_shared > 0 for result in results[:-1])


@TORCH_ONLY
def test_a_pair_shares_the_trunk_up_to_the_earlier_fork_in_halves(
    engine: Engine, residents: list[Resident], pixels: Picture
) -> None:
    pair = sorted((residents[4], residents[6]), key=lambda resident: resident.first_site)
    upto = trunk_flops(engine.backbone)[pair[0].first_site]
    results = engine.run([Row(resident, pixels(0)) for resident in pair])
    assert sum(result.flops_shared for result in results) == upto
    assert abs(results[0].flops_shared - results[1].flops_shared) <= 1


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(st.tuples(st.integers(0, TASKS - 1), st.integers(0, 2)), min_size=1, max_size=16))
def test_nobody_pays_more_than_alone_and_together_they_pay_for_each_piece_once(
    backbone: Backbone, residents: list[Resident], batch: list[tuple[int, int]]
) -> None:
    tasks, images = [residents[task] for task, _ in batch], [image for _, image in batch]
    trunk = trunk_flops(backbone)
    spent = spent_by(tasks, images, trunk)
    assert all(0 < share <= task.cost.spent for share, task in zip(spent, tasks, strict=True))
    own = {(task, image): task.cost.spent - trunk[task.first_site] for task, image in zip(tasks, images, strict=True)}
    longest = {image: max(trunk[task.first_site] for task, i in own if i == image) for image in images}
    assert sum(spent) == sum(own.values()) + sum(longest.values())


def test_the_whole_trunk_is_the_bare_network(backbone: Backbone) -> None:
    trunk = trunk_flops(backbone)
    assert len(trunk) == len(backbone.sites) + 1
    assert trunk[-1] == trunk[-2] == backbone.flops
    assert trunk == sorted(trunk)


@TORCH_ONLY
def test_a_removed_site_costs_nothing(engine: Engine, backbone: Backbone, pixels: Picture) -> None:
    bare, one = [0] * 24, [0] * 20 + [5] + [0] * 3
    adapters = [task_adapter(backbone, widths, classes=3, seed=0) for widths in (bare, one)]
    rows = [Row(engine.admit(adapter, str(index)), pixels(0)) for index, adapter in enumerate(adapters)]
    assert executed(engine, rows[:1]) == flops_of(backbone, bare, 3)
    site = backbone.sites[20]
    assert executed(engine, rows[1:]) - executed(engine, rows[:1]) == 4 * site.dim * site.tokens * 5


def test_saved_is_what_the_initial_widths_would_have_cost_more(backbone: Backbone) -> None:
    widths, initial = [0] * 12 + [2] * 12, [4] * 24
    cost = cost_of(backbone, widths, initial_widths=initial, classes=7)
    assert cost.spent == flops_of(backbone, widths, 7)
    assert cost.spent + cost.saved == flops_of(backbone, initial, 7)
    assert cost.saved > 0


def test_a_task_that_was_never_pruned_saves_nothing(backbone: Backbone) -> None:
    cost = cost_of(backbone, [4] * 24, initial_widths=[4] * 24, classes=2)
    assert cost == Cost(spent=flops_of(backbone, [4] * 24, 2), saved=0, trunk=trunk_flops(backbone)[0])
