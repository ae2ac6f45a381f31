"""Everything a run needs to go on, as a checkpoint, and a run put back to where one was."""

from typing import TYPE_CHECKING

from torch import Tensor

from backbone import SiteWeights
from training.checkpoint import Checkpoint, moments_of, restore_moments, restore_task, under
from training.fit import build_optimizer
from training.model import AdaptedModel

if TYPE_CHECKING:
    from training.run import Run


def identity_of(run: "Run") -> dict[str, object]:
    """What must agree for a checkpoint to be this run's."""
    prepared = run.prepared
    return {
        "options": run.options.as_dict(),
        "data": [prepared.name, list(prepared.labels), len(prepared.train), len(prepared.validation)],
        "backbone": run.model.backbone.fingerprint,
    }


def snapshot_of(run: "Run") -> Checkpoint:
    """Task weights, moments, where each neuron started, the best weights so far, and the counters."""
    tensors: dict[str, Tensor] = {f"task/{name}": value for name, value in run.model.task_parameters().items()}
    tensors |= moments_of(run.model, run.optimizer)
    for site, (down, up) in run.initial.items():
        tensors |= {f"initial/{site}/down": down, f"initial/{site}/up": up}
    tensors |= {f"best/{name}": values for name, values in run.best[1].items()}
    state = {
        "cycle": run.cycle,
        "epoch": run.epoch,
        "sizes": run.sizes,
        "best": run.best[0],
        "widths": run.model.widths,
    }
    return Checkpoint(tensors, state)


def restore(run: "Run", found: Checkpoint) -> None:
    """Put `run` to where `found` was taken."""
    state, backbone = found.state, run.model.backbone
    run.cycle, run.epoch, run.sizes = state["cycle"], state["epoch"], state["sizes"]
    run.model = AdaptedModel(backbone, state["widths"], len(run.prepared.labels), init=run.options.init)
    run.model.to(next(backbone.parameters()).device)
    restore_task(run.model, under("task/", found.tensors))
    run.optimizer = build_optimizer(run.model, run.options.fit)
    restore_moments(run.model, run.optimizer, found.tensors)
    initial = under("initial/", found.tensors)
    run.initial = {site: SiteWeights(initial[f"{site}/down"], initial[f"{site}/up"]) for site in run.model.live}
    run.best = (state["best"], under("best/", found.tensors))
