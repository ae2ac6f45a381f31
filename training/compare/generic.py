"""Any TaskModel, cycle by cycle: the schedule restarts in each, and a checkpoint follows every epoch.

A resumed training gives the same result, on a CPU bit for bit. An epoch's random numbers depend on its own number
alone, so a checkpoint holds only weights, moments, buffers and counters.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

from torch import Tensor

from backbone import Backbone
from training import checkpoint as checkpoints
from training.checkpoint import Checkpoint
from training.compare.candidate import (
    DEFAULT_RATES,
    Candidate,
    Make,
    Served,
    Trial,
    measure,
    seconds_until,
    test_of,
    where,
)
from training.compare.config import MethodConfig
from training.fields import POSITIVE, checked, kinds_of
from training.fit import Fitting, build_optimizer, evaluate, or_none, train_epoch
from training.frozen import FrozenBackbone, lower_products
from training.jsonl import Row
from training.methods.parts import fork
from training.model import TaskModel
from training.options import FitOptions, Precision
from training.prefix import PrefixCache
from training.progress import Position

Build = Callable[[Backbone, int, int], TaskModel]  # of backbone, classes and seed

# A method may set these for itself; epochs, batches and augmentation are the same for all methods.
OWN_FIT = {
    name: kind
    for name, kind in kinds_of(FitOptions).items()
    if name in ("clip", "drop_path", "label_smoothing", "update", "warmup_epochs", "weight_decay")
}


def of_method(
    build: Build, rates: tuple[float, ...] = DEFAULT_RATES, *, since: int = 0, served: Served | None = None
) -> Make:
    """The candidate that trains the model of `build`.

    Args:
        build: a model to train, from a backbone that stays as it is.
        rates: learning rates to choose from, where the configuration has none.
        since: rows from this cycle on.
        served: makes the model that is served, where it differs from the trained one; its cost is the method's.
    """

    structure = structure_of(build)

    def make(method: MethodConfig, cycles: int) -> Candidate:
        given = checked(method.options, OWN_FIT | structure, where(method))
        chosen = partial(build, **{name: given[name] for name in structure if name in given})
        changes = {name: given[name] for name in OWN_FIT if name in given}

        def begin(trial: Trial) -> Training:
            fit = replace(trial.fit, **changes)
            return Training.begin(replace(trial, fit=fit), chosen, cycles)

        def train(trial: Trial) -> Iterator[Row]:
            yield from begin(trial).rows_until(cycles, since=since, served=served)

        return Candidate(rates, lambda trial: begin(trial).fit_cycle(0), train, chosen)

    return make


def structure_of(build: Build) -> dict[str, Any]:
    """The structural options of a method, such as rank, scale, prompts or σ: its keyword-only arguments."""
    found = {name: p.annotation for name, p in signature(build).parameters.items() if p.kind is p.KEYWORD_ONLY}
    return {name: Annotated[kind, POSITIVE] if kind in (int, float) else kind for name, kind in found.items()}


@dataclass(slots=True)
class Training:
    """The training of one model, between two epochs.

    Attributes:
        build: makes an untrained model of the same shape in float32, by which size and cost are counted.
        cycles: planned, for progress; a training may end earlier.
        epochs: done in all cycles together.
        validation: top-1 in [0, 1] after each of them.
        rows: of the cycles that are finished.
        cache: the frozen prefix of the validation images.
    """

    trial: Trial
    build: Build
    model: TaskModel
    fitting: Fitting
    cycles: int
    epochs: int = 0
    validation: list[float] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    cache: PrefixCache = field(init=False)

    def __post_init__(self) -> None:
        """Nothing cached yet."""
        self.cache = PrefixCache(self.trial.prepared.validation)

    @classmethod
    def begin(cls, trial: Trial, build: Build, cycles: int) -> "Training":
        """Start a new training, or continue the one that the folder holds.

        Raises:
            CheckpointMismatch: the folder holds a training with other options, data or backbone.
        """
        model = at_precision(_plain(build, trial), trial.backbone, trial.precision)
        trial.folder.mkdir(parents=True, exist_ok=True)
        fitting = Fitting(model, build_optimizer(model, trial.fit), trial.fit, trial.seed)
        training = cls(trial, build, model, fitting, cycles)
        found = checkpoints.load_checkpoint(training._path, training._identity)
        if found is not None:
            training._restore(found)
        return training

    def rows_until(self, cycles: int, *, since: int, served: Served | None) -> list[Row]:
        """Train to the end of the last cycle; a row after each from cycle `since` on."""
        for cycle in range(cycles):
            self.fit_cycle(cycle)
            if cycle >= since and len(self.rows) <= cycle - since:
                self.rows.append(self._row(cycle, served))
        return self.rows

    def fit_cycle(self, cycle: int) -> float:
        """Train the rest of a cycle; returns validation top-1 at its end."""
        end = (cycle + 1) * self.trial.fit.epochs
        while self.epochs < end:
            self._epoch()
        return self.validation[end - 1]

    def _epoch(self) -> None:
        trial = self.trial
        cycle, epoch = divmod(self.epochs, trial.fit.epochs)
        place = Position(cycle, self.cycles, epoch, trial.fit.epochs, trial.fit.learning_rate)
        step = partial(trial.reporter.step, place)
        progress = train_epoch(self.fitting, trial.prepared.train, cycle=cycle, epoch=epoch, on_step=step)
        self.validation.append(evaluate(self.model, trial.prepared.validation, cache=self.cache))
        trial.reporter.epoch(place, progress, or_none(self.validation[-1]))
        self.epochs += 1
        self._save()

    def _row(self, cycle: int, served: Served | None) -> Row:
        trial, epochs = self.trial, (cycle + 1) * self.trial.fit.epochs
        row: Row = {"cycle": cycle, "epochs": epochs, "seconds": seconds_until(trial.folder, cycle)}
        row |= {"val_top1": or_none(self.validation[epochs - 1]), "test_top1": test_of(self.model, trial.prepared)}
        return row | measure(_plain(self.build, trial), trial, served=served)

    @property
    def _path(self) -> Path:
        return self.trial.folder / "checkpoint.safetensors"

    @property
    def _identity(self) -> dict[str, object]:
        """The values that a checkpoint of this training must have."""
        return {
            "options": asdict(self.trial.fit) | {"seed": self.trial.seed},
            "data": self.trial.prepared.identity,
            "backbone": self.trial.backbone.fingerprint,
            **({"precision": self.trial.precision} if self.trial.precision != "auto" else {}),
            "model": {name: list(parameter.shape) for name, parameter in self.model.task_parameters().items()},
        }

    def _save(self) -> None:
        tensors: dict[str, Tensor] = dict(self.model.task_parameters())
        tensors = {f"task/{name}": tensor for name, tensor in tensors.items()}
        tensors |= {f"buffer/{name}": tensor for name, tensor in self.model.named_buffers()}
        tensors |= checkpoints.moments_of(self.model, self.fitting.optimizer)
        state = {"epochs": self.epochs, "validation": self.validation, "rows": self.rows}
        checkpoints.save_checkpoint(self._path, Checkpoint(tensors, state), self._identity)

    def _restore(self, found: Checkpoint) -> None:
        tensors = found.tensors
        checkpoints.restore_task(self.model, checkpoints.under("task/", tensors))
        for name, buffer in self.model.named_buffers():
            buffer.copy_(tensors[f"buffer/{name}"])  # in place: other modules may hold it too
        self.fitting.optimizer = build_optimizer(self.model, self.trial.fit)
        checkpoints.restore_moments(self.model, self.fitting.optimizer, tensors)
        self.epochs, self.validation = found.state["epochs"], found.state["validation"]
        self.rows = found.state["rows"]


def untrained(build: Build, backbone: Backbone, classes: int, seed: int) -> TaskModel:
    """The model in float32, in modules of its own, on the backbone's device."""
    return build(fork(backbone), classes, seed).to(next(backbone.parameters()).device)


def at_precision(model: TaskModel, backbone: Backbone, precision: Precision) -> TaskModel:
    """An `untrained` model, whose products with frozen weights are computed at this precision from now on."""
    model.frozen = FrozenBackbone(backbone, model.backbone, precision)
    lower_products(model, model.frozen.device, precision)
    return model


def _plain(build: Build, trial: Trial) -> TaskModel:
    return untrained(build, trial.backbone, len(trial.prepared.labels), trial.seed)
