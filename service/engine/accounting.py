"""What a row costs in FLOPs, and what pruning saved on it.

Spent is what is executed for the row: backbone, adapters of the live sites, head; padding included, attention
products counted. On the CPU rows run at their exact widths and nothing is shared, so the cost of a row depends on
its task alone. Saved is against the same task at the widths it had before any pruning.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from backbone import Backbone, flops_of


@dataclass(frozen=True, slots=True)
class Cost:
    """FLOPs for one image of a task: `spent`, and `saved` against its initial widths."""

    spent: int
    saved: int


def cost_of(backbone: Backbone, widths: Sequence[int], *, initial_widths: Sequence[int], classes: int) -> Cost:
    """Cost of one image for a task with hidden sizes `widths`, pruned from `initial_widths`."""
    spent = flops_of(backbone, widths, classes)
    return Cost(spent, flops_of(backbone, initial_widths, classes) - spent)
