"""What a contestant is: it chooses among learning rates, and trains into rows. And the simplest, the linear probe."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from backbone import Backbone
from training.compare.config import MethodConfig
from training.compare.keys import checked
from training.compare.measure import Cost, measure
from training.fit import evaluate
from training.linear_probe import train_linear_probe
from training.lines import Row
from training.model import TaskModel
from training.options import FitOptions
from training.prepare import Prepared
from training.progress import Reporter

DEFAULT_RATES = (1e-3, 2e-3, 5e-3)  # where neither the configuration nor the method says


@dataclass(frozen=True, slots=True)
class Bout:
    """One contestant at one seed and one learning rate.

    Attributes:
        prepared: the data set at this seed.
        backbone: frozen, on the device to train on.
        fit: of one cycle, with the learning rate.
        seed: of initialisation, order and augmentation.
        folder: for checkpoints, and nobody else's; `seed…/rate-…`.
        reporter: told how it goes.
        cost: FLOPs of a model.
    """

    prepared: Prepared
    backbone: Backbone
    fit: FitOptions
    seed: int
    folder: Path
    reporter: Reporter
    cost: Cost


@dataclass(frozen=True, slots=True)
class Contestant:
    """A method made ready for a number of cycles.

    Attributes:
        rates: its own learning rates to choose from; empty where there is no rate to choose.
        first: trains one cycle and gives validation top-1 in [0, 1]; what it did is not done again by `train` in the
            same folder.
        train: trains every cycle, or goes on where it was left, and gives a row for each finished figure: cycle,
            epochs, seconds, accuracy on validation and test, size and cost.
    """

    rates: tuple[float, ...]
    first: Callable[[Bout], float]
    train: Callable[[Bout], Iterator[Row]]


Make = Callable[[MethodConfig, int], Contestant]
"""From what the configuration says of a method, and the number of cycles.

Raises:
    BadConfig: an option that the method does not have, or no equal budget.
"""


def where(method: MethodConfig) -> str:
    """How an error names the place in the configuration."""
    return f"[methods] {method.label}"


def test_of(model: TaskModel, prepared: Prepared) -> float | None:
    """Test top-1 in [0, 1], None without a test split."""
    return evaluate(model, prepared.test) if prepared.test else None


def linear_probe(method: MethodConfig, cycles: int) -> Contestant:
    """L-BFGS on frozen features, to convergence: one row, and no epochs, schedule or rate."""
    del cycles
    checked(method.options, {}, where(method))
    return Contestant((), lambda bout: 0.0, _probe)


def _probe(bout: Bout) -> Iterator[Row]:
    started = time.monotonic()
    model, validation, penalty = train_linear_probe(bout.prepared, bout.backbone)
    seconds = time.monotonic() - started
    row: Row = {"cycle": 0, "epochs": 0, "seconds": seconds, "penalty": penalty, "val_top1": validation}
    yield row | {"test_top1": test_of(model, bout.prepared)} | measure(model, bout.cost)
