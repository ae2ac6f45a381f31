"""A candidate of a comparison: it trains at a learning rate and gives rows. The linear probe is the simplest one."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from backbone import Backbone
from training.compare.config import MethodConfig
from training.fields import checked
from training.fit import evaluate, or_none
from training.jsonl import Row, read_rows
from training.linear_probe import train_linear_probe
from training.methods.serving import paper_parameters
from training.model import AdaptedModel, TaskModel
from training.options import FitOptions, Precision
from training.prepare import Prepared
from training.progress import PROGRESS, Reporter
from training.rates import around

Cost = Callable[[TaskModel], tuple[int, int]]  # FLOPs of one image: all of them, and as the paper counts them

Served = Callable[[TaskModel], TaskModel]  # the model that is served: parts folded into the weights, for instance

_GIGA = 1e9
DEFAULT_RATES = around(2e-3)  # where neither the configuration nor the method says


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate at one seed and one learning rate.

    Attributes:
        prepared: the data set at this seed.
        backbone: frozen, on the device to train on.
        fit: of one cycle, with the learning rate.
        seed: of initialisation, order and augmentation.
        folder: for the checkpoints of this trial alone; `seed…/rate-…`.
        reporter: receives progress.
        cost: FLOPs of a model.
        precision: of the products with frozen weights.
    """

    prepared: Prepared
    backbone: Backbone
    fit: FitOptions
    seed: int
    folder: Path
    reporter: Reporter
    cost: Cost
    precision: Precision = "auto"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A method made ready for a number of cycles.

    Attributes:
        rates: its own learning rates to choose from; empty if there is no rate to choose.
        first: trains one cycle and gives validation top-1 in [0, 1]; `train` in the same folder continues from there.
        train: trains every cycle, or the remaining ones. Gives a row for each finished figure: cycle, epochs, seconds,
            accuracy on validation and test, size and cost.
        model: at its largest, from backbone, classes and seed; None if nothing trains step by step.
    """

    rates: tuple[float, ...]
    first: Callable[[Trial], float]
    train: Callable[[Trial], Iterator[Row]]
    model: Callable[[Backbone, int, int], TaskModel] | None = None


Make = Callable[[MethodConfig, int], Candidate]
"""From the configuration of a method and the number of cycles to a candidate.

Raises:
    BadConfig: an option that the method does not have, or no equal budget.
"""


def where(method: MethodConfig) -> str:
    """The place in the configuration, for errors."""
    return f"[methods] {method.label}"


def test_of(model: TaskModel, prepared: Prepared) -> float | None:
    """Test top-1 in [0, 1], None without a test split."""
    return evaluate(model, prepared.test) if prepared.test else None


def linear_probe(method: MethodConfig, cycles: int) -> Candidate:
    """L-BFGS on frozen features, to convergence: one row, and no epochs, schedule or rate."""
    del cycles
    checked(method.options, {}, where(method))
    return Candidate((), lambda trial: 0.0, _probe)


def _probe(trial: Trial) -> Iterator[Row]:
    started = time.monotonic()
    model, validation, penalty = train_linear_probe(trial.prepared, trial.backbone)
    seconds = time.monotonic() - started
    row: Row = {"cycle": 0, "epochs": 0, "seconds": seconds, "penalty": penalty, "val_top1": or_none(validation)}
    yield row | {"test_top1": test_of(model, trial.prepared)} | measure(model, trial)


def measure(model: TaskModel, trial: Trial, *, served: Served | None = None) -> Row:
    """Parameters in both conventions, GFLOPs of one image, and where the model begins to differ from the bare backbone.

    GFLOPs are those of the served model. If the trained model differs, `gflops_unmerged` is that of the trained one.
    `shared_gflops` is what tasks on one image could compute once: everything before the first site whose output depends
    on a trained parameter. `sigma` is the paper's, 4 M / N, over all sites together.
    """
    own, head = model.parameter_counts()
    counted = paper_parameters(model, trial.backbone)
    cost = trial.cost
    true, paper = cost(served(model) if served else model)
    first = model.first_site
    row: Row = {
        "adapter_params": own,
        "head_params": head,
        "paper_params": counted.trained,
        "paper_percent": counted.percent,
        "gflops": true / _GIGA,
        "gflops_paper": paper / _GIGA,
        "first_live_site": first if first < len(model.backbone.sites) else None,
        "shared_gflops": _prefix_flops(model) / _GIGA,
    }
    if served:
        row["gflops_unmerged"] = cost(model)[0] / _GIGA
    return row | _widths(model) if isinstance(model, AdaptedModel) else row


def _prefix_flops(model: TaskModel) -> int:
    """FLOPs of one image before the first site that differs; 0 if the stem trains."""
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


def seconds_until(folder: Path, cycle: int) -> float:
    """Seconds of training up to the end of `cycle`, validation and test apart; 0 if no file was written.

    An epoch that a crash made run twice counts once.
    """
    found = {(line["cycle"], line["epoch"]): line["seconds"] for line in read_rows(folder / PROGRESS)}
    return float(sum(seconds for (of, _), seconds in found.items() if of <= cycle))
