"""What a row says of a model: its size and what it costs to ask it."""

from collections.abc import Callable

from training.lines import Row
from training.model import AdaptedModel, TaskModel

Cost = Callable[[TaskModel], tuple[int, int]]  # FLOPs of one image: all of them, and as the paper counts them

Served = Callable[[TaskModel], TaskModel]  # what is asked in the end: parts folded into the weights, for instance

_GIGA = 1e9


def measure(model: TaskModel, cost: Cost, *, served: Served | None = None) -> Row:
    """Parameters, GFLOPs of one image, and where the model begins to differ from the bare backbone.

    GFLOPs are those of what is served; where that is not the model as it trains, `gflops_unmerged` is the model's.
    `shared_gflops` is what tasks on one image could compute once: everything before the first site whose output
    depends on a trained parameter. `sigma` is the paper's, 4 M / N, over all sites together.
    """
    own, head = model.parameter_counts()
    true, paper = cost(served(model) if served else model)
    first = model.first_site
    row: Row = {
        "adapter_params": own,
        "head_params": head,
        "gflops": true / _GIGA,
        "gflops_paper": paper / _GIGA,
        "first_live_site": first if first < len(model.backbone.sites) else None,
        "shared_gflops": _prefix_flops(model) / _GIGA,
    }
    if served:
        row["gflops_unmerged"] = cost(model)[0] / _GIGA
    return row | _widths(model) if isinstance(model, AdaptedModel) else row


def _prefix_flops(model: TaskModel) -> int:
    """FLOPs of one image before the first site that differs; a stem that trains is shared by nobody."""
    backbone = model.backbone
    if any(parameter.requires_grad for parameter in backbone.stem.parameters()):
        return 0
    return backbone.stem.flops + sum(site.enter_flops + site.flops for site in backbone.sites[: model.first_site])


def _widths(model: AdaptedModel) -> Row:
    neurons, channels = sum(model.widths), sum(site.dim for site in model.backbone.sites)
    return {
        "widths": list(model.widths),
        "neurons": neurons,
        "live_sites": len(model.live),
        "sigma": 4 * channels / neurons if neurons else None,
    }
