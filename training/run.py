"""The state of one run of Algorithm 1, and its steps. Each step ends in a checkpoint.

epoch done -> checkpoint          cycle done -> file of this size, pruning, checkpoint
"""

from dataclasses import dataclass, field
from functools import partial
from math import isnan
from pathlib import Path

import torch
from torch import Tensor

from adapters_store import unpack
from backbone import Backbone, SiteWeights
from training.checkpoint import (
    Checkpoint,
    checkpoint_bytes,
    load_checkpoint,
    moments_of,
    restore_moments,
    restore_task,
    under,
)
from training.cycles import CycleResult, result_of
from training.export import Origin, to_file
from training.fit import build_optimizer, evaluate, metric_of
from training.frozen import FrozenBackbone, frozen_backbone
from training.linear_probe import train_linear_probe
from training.model import AdaptedModel
from training.options import MiMiOptions
from training.parallel import ALONE, World
from training.prefix import PrefixCache, augmented_views
from training.prepare import Prepared
from training.pruning.criteria import Evidence, Importance, add_gradients
from training.pruning.scores import correlation_with_start, rows_of, starting_weights
from training.pruning.selection import prune_model
from training.pruning.unstructured import hold_zeros


@dataclass(slots=True)
class Run:
    """A run of Algorithm 1 between two steps.

    Attributes:
        prepared: the data set.
        frozen: the backbone; task adapter files are made from its original.
        options: of Algorithm 1.
        folder: of the checkpoint and of one task adapter file per finished size.
        model: what trains.
        optimizer: of the model.
        initial: weights of each remaining neuron at initialisation, by site.
        cycle: number of the current cycle, from 0; equal to the number of cycles when all are done.
        epoch: epochs done in the current cycle.
        sizes: task adapter files written.
        gradients: of the cycle so far, for the criteria that ask for them.
        best: best validation accuracy of the cycle so far and the weights that gave it, for `select="best"`.
        world: the processes that train together; the first of them writes.
        train_cache: the frozen prefix of the training images, from cycle to cycle.
        validation_cache: the frozen prefix of the validation images.
    """

    prepared: Prepared
    frozen: FrozenBackbone
    options: MiMiOptions
    folder: Path
    model: AdaptedModel
    optimizer: torch.optim.Optimizer
    initial: dict[int, SiteWeights]
    cycle: int = 0
    epoch: int = 0
    sizes: int = 0
    gradients: Importance = field(default_factory=dict)
    best: tuple[float, dict[str, Tensor]] = (-1.0, {})
    world: World = ALONE
    train_cache: PrefixCache = field(init=False)
    validation_cache: PrefixCache = field(init=False)

    def __post_init__(self) -> None:
        """Both caches are empty at first."""
        views = augmented_views(self.options.fit, self.options.seed)
        self.train_cache = PrefixCache(self.prepared.train, views)
        self.validation_cache = PrefixCache(self.prepared.validation)

    @classmethod
    def begin(
        cls, prepared: Prepared, backbone: Backbone, options: MiMiOptions, folder: Path, world: World = ALONE
    ) -> "Run":
        """Start a new run, or continue the one that `folder` holds.

        Raises:
            CheckpointMismatch: `folder` holds a run with other options, data or backbone.
        """
        widths = options.initial_widths(tuple(site.dim for site in backbone.sites))
        frozen = frozen_backbone(backbone, options.precision, compiles=options.compile)
        model = AdaptedModel(frozen, widths, len(prepared.labels), recipe=options.recipe, seed=options.seed)
        model.to(frozen.device)
        optimizer = build_optimizer(model, options.fit)
        run = cls(prepared, frozen, options, folder, model, optimizer, starting_weights(model), world=world)
        found = load_checkpoint(run._path, run._identity)
        if found is not None:
            run._restore(found)
        else:
            run._start()
        if options.pruning.granularity == "weight":
            hold_zeros(run.model)
        return run

    def _start(self) -> None:
        """Make the head of a linear probe the first one, and prune, if the options say so."""
        if self.options.head_start == "probe":
            probe, _, _ = train_linear_probe(self.prepared, self.frozen.original)
            self.model.head.load_state_dict(probe.head.state_dict())
        if self.options.prunings_before(0):
            self._prune(1)

    @property
    def files(self) -> list[Path]:
        """One task adapter file per finished size, from the largest to the smallest."""
        return [self.folder / f"size-{size}.safetensors" for size in range(self.sizes)]

    @property
    def finished(self) -> bool:
        """All cycles are trained, and the last pruning is done where one was asked for."""
        return self.sizes == self.options.cycles + self.options.prune_last

    def result(self, size: int) -> CycleResult:
        """The figures of a size already written."""
        data = self.files[size].read_bytes()
        return result_of(unpack(data), size, len(data))

    def validate(self) -> float:
        """Top-1 accuracy, or mAP of independent labels, on the validation images, as the model is now."""
        return evaluate(self.model, self.prepared.validation, cache=self.validation_cache)

    def note_gradients(self, last: bool) -> None:
        """Add the gradients of a step, which was the `last` of its epoch or not, to those of the cycle."""
        add_gradients(self.gradients, self.model, self.options.pruning.criterion, last=last)

    def end_epoch(self, validation: float) -> None:
        """Count an epoch; remember the weights if they are the best of the cycle."""
        self.epoch += 1
        if self.options.select == "best" and validation > self.best[0]:
            named = self.model.task_parameters().items()
            self.best = (validation, {name: parameter.detach().clone() for name, parameter in named})
        self._save()

    def end_cycle(self) -> CycleResult:
        """Write the size just trained, then prune for the next cycle."""
        if self.cycle == self.options.cycles - 1 and self.best[1]:
            restore_task(self.model, self.best[1])
        self._write_size()
        prunings = self.options.prunings_before(self.cycle + 1)
        if prunings > self.options.prunings_before(self.cycle) and self.cycle + 1 < self.options.cycles:
            self._prune(prunings)
        self.cycle, self.epoch, self.best = self.cycle + 1, 0, (-1.0, {})
        if self.cycle < self.options.cycles:  # a pruning without training still asks for those of the last cycle
            self.gradients = {}
        self._save()
        return self.result(self.sizes - 1)

    def prune_untrained(self) -> CycleResult:
        """Prune once more after the last cycle and write that size without training it, as the released code does."""
        self._prune(self.options.prunings + 1)
        self._write_size()
        self._save()
        return self.result(self.sizes - 1)

    def _write_size(self) -> None:
        name, found = f"validation_{metric_of(self.prepared.train)}", self.validate()
        metrics = {
            **({} if isnan(found) else {name: found}),
            "rank_correlation": correlation_with_start(self._evidence, self.options.pruning),
            "learning_rate": self.options.fit.peak_rate,
        }
        trained = min(self.cycle + 1, self.options.cycles)
        origin = Origin(
            method=self.options.pruning.name,
            options=self.options,
            cycles=trained,
            epochs=self.options.epochs_before(trained),
            initial_widths=self.options.initial_widths(tuple(site.dim for site in self.frozen.backbone.sites)),
            metrics=metrics,
        )
        self.sizes += 1
        self.world.write(self.files[-1], partial(to_file, self.model, self.prepared, origin, self.frozen.original))

    def _prune(self, prunings: int) -> None:
        """The `prunings`-th pruning of the run."""
        kept = prune_model(self._evidence, self.optimizer, self.options, prunings=prunings)
        self.initial = {site: rows_of(self.initial[site], kept[site]) for site in self.model.live}
        if self.options.optimizer == "rebuild":
            self.optimizer = build_optimizer(self.model, self.options.fit)

    @property
    def _evidence(self) -> Evidence:
        seed = self.options.seed * 1_000_003 + self.cycle
        return Evidence(self.model, self.initial, self.prepared.train, self.options.fit, seed, self.gradients)

    @property
    def _path(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    def _save(self) -> None:
        self.world.write(self._path, lambda: checkpoint_bytes(self._snapshot(), self._identity))

    @property
    def _identity(self) -> dict[str, object]:
        """The values that a checkpoint of this run must have."""
        return {
            "options": self.options.as_dict(),
            "data": self.prepared.identity,
            "backbone": self.frozen.original.fingerprint,
        }

    def _snapshot(self) -> Checkpoint:
        """Task weights, moments, the initial weights of each neuron, the best weights so far, and the counters."""
        tensors: dict[str, Tensor] = {f"task/{name}": value for name, value in self.model.task_parameters().items()}
        tensors |= moments_of(self.model, self.optimizer)
        for kind, weights in (("initial", self.initial), ("gradient", self.gradients)):
            for site, (down, up) in weights.items():
                tensors |= {f"{kind}/{site}/down": down, f"{kind}/{site}/up": up}
        tensors |= {f"best/{name}": values for name, values in self.best[1].items()}
        state = {
            "cycle": self.cycle,
            "epoch": self.epoch,
            "sizes": self.sizes,
            "best": self.best[0],
            "widths": self.model.widths,
        }
        return Checkpoint(tensors, state)

    def _restore(self, found: Checkpoint) -> None:
        """Put this run back to where `found` was saved."""
        state = found.state
        self.cycle, self.epoch, self.sizes = state["cycle"], state["epoch"], state["sizes"]
        self.model = AdaptedModel(self.frozen, state["widths"], len(self.prepared.labels), recipe=self.options.recipe)
        self.model.to(self.frozen.device)
        restore_task(self.model, under("task/", found.tensors))
        self.optimizer = build_optimizer(self.model, self.options.fit)
        restore_moments(self.model, self.optimizer, found.tensors)
        self.initial = self._by_site(under("initial/", found.tensors))
        found_sums = self._by_site(under("gradient/", found.tensors))
        device = self.frozen.device
        self.gradients = {site: SiteWeights(down.to(device), up.to(device)) for site, (down, up) in found_sums.items()}
        self.best = (state["best"], under("best/", found.tensors))

    def _by_site(self, tensors: dict[str, Tensor]) -> dict[int, SiteWeights]:
        """Weights of the live sites out of tensors named "SITE/down" and "SITE/up"."""
        live = [site for site in self.model.live if f"{site}/down" in tensors]
        return {site: SiteWeights(tensors[f"{site}/down"], tensors[f"{site}/up"]) for site in live}
