"""The state of one run and its transitions, each of which ends in a checkpoint.

epoch done -> checkpoint          cycle done -> file of this size, pruning, checkpoint
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from adapters_store import unpack
from backbone import Backbone, SiteWeights
from training.checkpoint import load_checkpoint, restore_task, save_checkpoint
from training.compiling import compiled
from training.export import Origin, to_file
from training.fit import build_optimizer, evaluate
from training.importance import Evidence
from training.model import AdaptedModel
from training.options import MiMiOptions
from training.parallel import ALONE, World
from training.precision import resident
from training.prefix import PrefixCache, augmented_views
from training.prepare import Prepared
from training.pruning import prune_model
from training.reports import CycleReport, report_of
from training.snapshot import identity_of, restore, snapshot_of
from training.sparse import hold_zeros
from training.start import correlation_with_start, rows_of, starting_weights


@dataclass(slots=True)
class Run:
    """Where Algorithm 1 stands.

    Attributes:
        backbone: in float32, which files are made from; the model may hold a copy in other numbers.
        folder: of the checkpoint and of one task adapter file per finished size.
        initial: weights of each remaining neuron at initialisation, by site.
        cycle: the cycle being trained, from 0; equal to the number of cycles when all are done.
        epoch: epochs done in it.
        sizes: task adapter files written.
        best: best validation accuracy of the cycle so far and the weights that gave it, for `select="best"`.
        world: who trains with us; the first of them writes.
        train_cache: the frozen prefix of the training images, from cycle to cycle.
        validation_cache: that of the validation images.
    """

    prepared: Prepared
    backbone: Backbone
    options: MiMiOptions
    folder: Path
    model: AdaptedModel
    optimizer: torch.optim.Optimizer
    initial: dict[int, SiteWeights]
    cycle: int = 0
    epoch: int = 0
    sizes: int = 0
    best: tuple[float, dict[str, Tensor]] = (-1.0, {})
    world: World = ALONE
    train_cache: PrefixCache = field(init=False)
    validation_cache: PrefixCache = field(init=False)

    def __post_init__(self) -> None:
        """Nothing cached yet."""
        views = augmented_views(self.options.fit, self.options.seed)
        self.train_cache = PrefixCache(self.prepared.train, views)
        self.validation_cache = PrefixCache(self.prepared.validation)

    @classmethod
    def begin(
        cls, prepared: Prepared, backbone: Backbone, options: MiMiOptions, folder: Path, world: World = ALONE
    ) -> "Run":
        """A new run, or the one that `folder` holds.

        Raises:
            CheckpointMismatch: `folder` holds a run with other options, data or backbone.
        """
        widths = options.initial_widths(tuple(site.dim for site in backbone.sites))
        network = resident(backbone, options.precision)
        if options.compile:
            network = compiled(network)
        model = AdaptedModel(network, widths, len(prepared.labels), init=options.init, seed=options.seed)
        model.precision = options.precision
        model.to(next(backbone.parameters()).device)
        optimizer = build_optimizer(model, options.fit)
        run = cls(prepared, backbone, options, folder, model, optimizer, starting_weights(model), world=world)
        found = load_checkpoint(run._path, identity_of(run))
        if found is not None:
            restore(run, found)
        elif options.prunings_before(0):
            run._prune(1)
        if options.prune.granularity == "weight":
            hold_zeros(run.model)
        return run

    @property
    def files(self) -> list[Path]:
        """One task adapter file per finished size, from the largest to the smallest."""
        return [self.folder / f"size-{size}.safetensors" for size in range(self.sizes)]

    @property
    def finished(self) -> bool:
        """All cycles are trained, and the last pruning is done where one was asked for."""
        return self.sizes == self.options.cycles + self.options.prune_last

    def report(self, size: int) -> CycleReport:
        """The row of a size already written."""
        data = self.files[size].read_bytes()
        return report_of(unpack(data), size, len(data))

    def validate(self) -> float:
        """Top-1 accuracy on the validation images, as the model is now."""
        return evaluate(self.model, self.prepared.validation, cache=self.validation_cache)

    def end_epoch(self, validation: float) -> None:
        """Count an epoch; remember the weights if they are the best of the cycle."""
        self.epoch += 1
        if self.options.select == "best" and validation > self.best[0]:
            named = self.model.task_parameters().items()
            self.best = (validation, {name: parameter.detach().clone() for name, parameter in named})
        self._save()

    def end_cycle(self) -> CycleReport:
        """Write the size just trained, then prune for the next cycle."""
        if self.cycle == self.options.cycles - 1 and self.best[1]:
            restore_task(self.model, self.best[1])
        self._write_size()
        prunings = self.options.prunings_before(self.cycle + 1)
        if prunings > self.options.prunings_before(self.cycle) and self.cycle + 1 < self.options.cycles:
            self._prune(prunings)
        self.cycle, self.epoch, self.best = self.cycle + 1, 0, (-1.0, {})
        self._save()
        return self.report(self.sizes - 1)

    def prune_untrained(self) -> CycleReport:
        """Prune once more after the last cycle and write that size without training it, as the released code does."""
        self._prune(self.options.prunings + 1)
        self._write_size()
        self._save()
        return self.report(self.sizes - 1)

    def _write_size(self) -> None:
        metrics = {
            "validation_top1": self.validate(),
            "rank_correlation": correlation_with_start(self._evidence, self.options.prune),
            "learning_rate": self.options.fit.peak_rate,
        }
        trained = min(self.cycle + 1, self.options.cycles)
        origin = Origin(
            method=self.options.prune.name,
            options=self.options,
            cycles=trained,
            epochs=trained * self.options.fit.epochs,
            initial_widths=self.options.initial_widths(tuple(site.dim for site in self.backbone.sites)),
            metrics=metrics,
        )
        self.sizes += 1
        self.world.write(self.files[-1], partial(to_file, self.model, self.prepared, origin, self.backbone))

    def _prune(self, prunings: int) -> None:
        """The `prunings`-th pruning of the run."""
        kept = prune_model(self._evidence, self.optimizer, self.options, prunings=prunings)
        self.initial = {site: rows_of(self.initial[site], kept[site]) for site in self.model.live}
        if self.options.optimizer == "rebuild":
            self.optimizer = build_optimizer(self.model, self.options.fit)

    @property
    def _evidence(self) -> Evidence:
        seed = self.options.seed * 1_000_003 + self.cycle
        return Evidence(self.model, self.initial, self.prepared.train, self.options.fit, seed)

    @property
    def _path(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def _save(self) -> None:
        if self.world.first:
            save_checkpoint(self._path, snapshot_of(self), identity_of(self))
