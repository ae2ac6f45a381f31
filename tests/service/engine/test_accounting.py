"""What is accounted is what was executed, to the FLOP."""

import pytest
from torch.utils.flop_counter import FlopCounterMode

from backbone import Backbone, flops_of
from benchmarks.synthetic import task_adapter
from service.engine import Cost, Engine, Resident, Row
from service.engine.accounting import cost_of
from tests.service.engine.conftest import TASKS
from tests.service.engine.gate import Picture


def executed(engine: Engine, rows: list[Row]) -> int:
    with FlopCounterMode(display=False) as counter:
        engine.run(rows)
    return int(counter.get_total_flops())


@pytest.mark.parametrize("images", [1, 3])
def test_flops_spent_are_the_flops_executed(
    engine: Engine, residents: list[Resident], pixels: Picture, images: int
) -> None:
    rows = [Row(residents[i % TASKS], pixels(i)) for i in range(images * TASKS)]
    assert executed(engine, rows) == sum(result.flops_spent for result in engine.run(rows))


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
    assert cost == Cost(spent=flops_of(backbone, [4] * 24, 2), saved=0)
