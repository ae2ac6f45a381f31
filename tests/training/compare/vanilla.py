"""Vanilla adapters trained by the plainest loop there is: what the comparison's own loop must agree with."""

from collections.abc import Iterator
from dataclasses import dataclass

from backbone import Backbone
from training.fit import Fitting, build_optimizer, evaluate, train_epoch
from training.model import AdaptedModel
from training.options import FitOptions
from training.prepare import Prepared


@dataclass(frozen=True, slots=True)
class Vanilla:
    """Adapters of fixed widths, trained for a number of cycles without any pruning."""

    widths: tuple[int, ...]
    cycles: int
    fit: FitOptions
    seed: int


def train_vanilla(vanilla: Vanilla, prepared: Prepared, backbone: Backbone) -> Iterator[float]:
    """Validation top-1 at the end of every cycle."""
    model = AdaptedModel(backbone, vanilla.widths, len(prepared.labels), seed=vanilla.seed)
    fitting = Fitting(model, build_optimizer(model, vanilla.fit), vanilla.fit, vanilla.seed)
    for cycle in range(vanilla.cycles):
        for epoch in range(vanilla.fit.epochs):
            train_epoch(fitting, prepared.train, cycle=cycle, epoch=epoch, on_step=lambda progress: None)
        yield evaluate(model, prepared.validation)
