"""All options of a MiMi run with their defaults, and the points where the paper and its released code disagree.

Defaults follow the corrected reading of the paper (Marouf, Tartaglione, Lathuilière, WACV 2024) for a full-length run.
docs/training.md lists each ambiguous convention. Short runs need `learning_rates`: after a few steps at a small rate
the ranking of neurons is still random, and pruning is noise.
"""

import re
from dataclasses import asdict, dataclass, field, fields, replace
from math import ceil, log
from pathlib import Path
from typing import Annotated, Literal

from training.fields import FRACTION, POSITIVE, SHARE, Rule, at_least, require, validate, within

Normalise = Literal["mean", "n_plus_m", "sum"]
Criterion = Literal[
    "weights", "movement", "down", "gradient", "gradient_signed", "activation", "snip", "grasp", "random"
]
Init = Literal["trunc_normal", "small", "zero_up", "linear", "houlsby"]
SigmaDefinition = Literal["mlp", "dim"]
Precision = Literal["auto", "fp32", "bf16"]
Rate = Annotated[float, POSITIVE]

_RANDAUGMENT = Rule(
    "timm's name of a RandAugment, such as rand-m9-mstd0.5-inc1",
    re.compile(r"(rand(-(m|n|p|mstd|mmax|inc)\d+(\.\d+)?)*)?").fullmatch,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """Options of the training within one cycle.

    Attributes:
        epochs: of one cycle, warm-up included (the published command's reading is 80, the text's 100).
        warmup_epochs: linear warm-up at the start of every cycle.
        warmup_prefix: start the cosine after the warm-up. False starts it at step 0 as the code does; then the rate
            drops a little after the warm-up.
        batch_size: images a step (not stated in the paper; the code's protocol is 512).
        learning_rate: peak rate at `reference_batch` images a step.
        reference_batch: the rate scales with batch_size / reference_batch; None takes it as given.
        weight_decay: AdamW's, on matrices; vectors have none.
        clip: largest gradient norm over all trained parameters together.
        label_smoothing: of the cross-entropy.
        balance: for classes of different sizes. "weights" lets an image of a rare class count more in the loss;
            "sampling" shows it more often; "none" does neither.
        balance_power: how far; an image counts as the size of its class to minus this power. 1: classes count the same.
        drop_path: stochastic depth in the frozen branches, growing linearly with depth. The code leaves the
            backbone's own rate on (Swin-T 0.2); off here, so that a prefix without adapters is deterministic.
        flip: mirror half of the training images.
        shift: move training images by up to this many pixels each way (edges repeated).
        rotate: turn training images by up to this many degrees.
        zoom: scale training images by a factor in 1 ± this.
        jitter: scale brightness and contrast of training images by factors in 1 ± this.
        resized_crop: crop a random part, of this share of the area at least, and resize it; 0: not (timm's is 0.08).
        randaugment: timm's name of a RandAugment, such as rand-m9-mstd0.5-inc1; empty: none.
        erasing: share of images of which a rectangle is replaced by noise.
        mixup: alpha of mixup; 0: none. Every batch is mixed; with cutmix too, half of the batches are cut instead.
        cutmix: alpha of cutmix; 0: none.
        views: number of augmented versions of each image. They are drawn once and take turns by epoch, so the frozen
            prefix before the first live site is computed once for each. 0 augments anew in every epoch.
        drop_last: leave out the last short batch of an epoch, as the code does.
        update: "adamw", or "sgd" with momentum 0.9.
    """

    epochs: Annotated[int, at_least(1)] = 100
    warmup_epochs: Annotated[float, at_least(0)] = 20
    warmup_prefix: bool = False
    batch_size: Annotated[int, at_least(1)] = 512
    learning_rate: Rate = 5e-4
    reference_batch: Annotated[int, at_least(1)] | None = 512
    weight_decay: Annotated[float, at_least(0)] = 0.05
    clip: Annotated[float, POSITIVE] = 5.0
    label_smoothing: Annotated[float, FRACTION] = 0.1
    balance: Literal["none", "weights", "sampling"] = "none"
    balance_power: Annotated[float, within(0, 1)] = 1.0
    drop_path: Annotated[float, FRACTION] = 0.0
    flip: bool = True
    shift: Annotated[int, at_least(0)] = 4
    rotate: Annotated[float, within(0, 180)] = 0.0
    zoom: Annotated[float, FRACTION] = 0.0
    jitter: Annotated[float, within(0, 1)] = 0.0
    resized_crop: Annotated[float, FRACTION] = 0.0
    randaugment: Annotated[str, _RANDAUGMENT] = ""
    erasing: Annotated[float, within(0, 1)] = 0.0
    mixup: Annotated[float, at_least(0)] = 0.0
    cutmix: Annotated[float, at_least(0)] = 0.0
    views: Annotated[int, at_least(0)] = 0
    drop_last: bool = False
    update: Literal["adamw", "sgd"] = "adamw"

    def __post_init__(self) -> None:
        """Refuse what could not train.

        Raises:
            BadConfig: naming the option and its value.
        """
        validate(self)
        require(self.warmup_epochs < self.epochs, "warmup_epochs", self.warmup_epochs, "below epochs")
        for name in ("drop_path", "erasing", "mixup", "cutmix"):
            require(not (self.views and getattr(self, name)), name, getattr(self, name), "0 where views are cached")

    @property
    def peak_rate(self) -> float:
        """The learning rate after scaling to the batch size."""
        scale = self.batch_size / self.reference_batch if self.reference_batch else 1.0
        return self.learning_rate * scale


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterRecipe:
    """How an adapter starts and trains, whatever its size.

    Attributes:
        init: of both matrices, see MiMiOptions.
        scaled: learn a scale of every channel.
        adapter_drop: stochastic depth on the adapter, the same at every site.
    """

    init: Init = "trunc_normal"
    scaled: bool = False
    adapter_drop: Annotated[float, FRACTION] = 0.0


ADAPTER_PLUS = AdapterRecipe(init="houlsby", scaled=True, adapter_drop=0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruningOptions:
    """Options of pruning. The defaults are MiMi's; other values are Table 2's ablations, and ours.

    Attributes:
        criterion: importance of a weight, see training.pruning.criteria; "weights" is MiMi's |w|.
        normalise: divisor of a neuron's sum over its weights: their number 2M ("mean", the code), N + M with the
            current N ("n_plus_m", as equation 3 is printed), or 1 ("sum", I_0).
        relative: also divide by the largest score at the site (off in all of the paper's scripts).
        scope: one threshold for the neurons of all sites ("global"), or the same share at each ("site").
        granularity: remove whole neurons, or single weights, which saves no time (SparseAdapter's way).
        cost_exponent: divide a neuron's score by its FLOPs to this power; 0 is the paper, 1 is score per FLOP. Ours.
        trunk: sites, counted from the input, to empty as soon as the others have room for all neurons kept. Ours.
        before_training: do each pruning one cycle earlier, the first before any training.
    """

    criterion: Criterion = "weights"
    normalise: Normalise = "mean"
    relative: bool = False
    scope: Literal["global", "site"] = "global"
    granularity: Literal["neuron", "weight"] = "neuron"
    cost_exponent: Annotated[float, at_least(0)] = 0.0
    trunk: Annotated[int, at_least(0)] = 0
    before_training: bool = False

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            BadConfig: naming the option and its value.
        """
        validate(self)
        local = self.scope == "site"
        require(not (local and (self.trunk or self.cost_exponent)), "scope", self.scope, "global with trunk or cost")
        if self.granularity == "weight":
            require(local, "scope", self.scope, '"site" where single weights are removed')
            require(self.criterion != "activation", "criterion", self.criterion, "of weights, not of neurons")

    @property
    def name(self) -> str:
        """ "mimi", with what differs from it."""
        changed = [f for f in fields(self) if getattr(self, f.name) != f.default]
        return " ".join(["mimi", *(f"{f.name}={getattr(self, f.name)}" for f in changed)])


@dataclass(frozen=True, slots=True, kw_only=True)
class MiMiOptions:
    """Algorithm 1: train, score, keep the best neurons over all sites, train again, until the target compression.

    Attributes:
        fit: how each cycle trains.
        initial_sigma: compression σ0 to start at; 32 is N = M/8 under "mlp".
        target_sigma: compression σ_target to end at.
        sigma_definition: "mlp" is 4M/N, which every number of the paper for Swin uses; "dim" is M/N, as printed.
        pruning_fraction: ρ, share of the remaining neurons removed between cycles.
        pruning: options of pruning.
        extra_cycles: cycles trained at the last size after its first.
        optimizer: "keep" AdamW's moments over a pruning, shrunk with the weights, as the code does; or "rebuild".
        prune_last: prune once more after the last cycle without training again, as the code's exported models are.
        select: weights to export: of the "last" epoch, or of the epoch "best" on validation in the last cycle.
        init: "trunc_normal" (std 0.02, both matrices), "small" (std 0.002: too small to matter in a score; ours),
            "zero_up", "linear" (PyTorch's default, the code's on ViT), or "houlsby" (std 0.01, cut at two deviations).
        scaled: learn a scale of every channel behind W_up, as Adapter+ does; it is folded into W_up in the file.
        adapter_drop: stochastic depth on the adapters, as Adapter+ has (0.1 there).
        first_epochs: of each cycle before the last; the last one has the rest of cycles x epochs. 0: all are alike.
        restart: the learning rate's schedule begins again with every "cycle", as in the paper, or once a "run".
        head_start: "random", or the head of a linear "probe" on the same images, which takes seconds.
        size_tolerance: the exported size is the smallest one whose validation accuracy is at most this far below the
            best. 1 always exports the last size, as the paper does.
        validation: share of the training images held out for validation if the data set has no validation images. 0:
            train on all images, also on those of a validation split, and choose nothing by validation.
        learning_rates: rates tried for the first cycle; the run continues at the best on validation. Empty:
            `fit.learning_rate`.
        extra_rates: rates at most to try beyond `learning_rates`, as long as the best of several is at their edge.
        known_share: of the validation images that count as known, see docs/answers.md.
        label_precision: of each label on validation at its threshold; 0: the threshold of the highest F1.
        precision: of the frozen products. "auto" is bf16 on CUDA and fp32 on a CPU. On a CPU bf16 is faster if the
            processor multiplies it (AVX-512 BF16, AMX). Trained weights are float32.
        compile: the frozen sub-layers with torch.compile.
        seed: of the validation split, the initialisation, and every epoch's order and augmentation.
    """

    fit: FitOptions = field(default_factory=FitOptions)
    initial_sigma: Annotated[float, POSITIVE] = 32.0
    target_sigma: Annotated[float, POSITIVE] = 512.0
    sigma_definition: SigmaDefinition = "mlp"
    pruning_fraction: Annotated[float, SHARE] = 0.5
    pruning: PruningOptions = field(default_factory=PruningOptions)
    extra_cycles: Annotated[int, at_least(0)] = 0
    optimizer: Literal["keep", "rebuild"] = "keep"
    prune_last: bool = False
    select: Literal["last", "best"] = "last"
    init: Init = "trunc_normal"
    scaled: bool = False
    adapter_drop: Annotated[float, FRACTION] = 0.0
    first_epochs: Annotated[int, at_least(0)] = 0
    restart: Literal["cycle", "run"] = "cycle"
    head_start: Literal["random", "probe"] = "random"
    size_tolerance: Annotated[float, within(0, 1)] = 0.02
    validation: Annotated[float, FRACTION] = 0.1
    learning_rates: tuple[Rate, ...] = ()
    extra_rates: Annotated[int, at_least(0)] = 0
    known_share: Annotated[float, SHARE] = 0.95
    label_precision: Annotated[float, FRACTION] = 0.0
    precision: Precision = "auto"
    compile: bool = False
    seed: Annotated[int, within(0, 2**31 - 1)] = 0

    def __post_init__(self) -> None:
        """Refuse what could not train.

        Raises:
            BadConfig: naming the option and its value.
        """
        validate(self)
        require(self.target_sigma >= self.initial_sigma, "target_sigma", self.target_sigma, "at least initial_sigma")
        if not self.validation:
            require(len(self.learning_rates) < 2, "validation", 0, "above 0 where rates are chosen on it")  # noqa: PLR2004
            require(self.select == "last", "validation", 0, "above 0 where the best epoch is chosen on it")
        zeros = self.init == "zero_up" and self.pruning.granularity == "weight"
        require(not zeros, "init", self.init, "other than zero_up where single weights are removed")
        scaled = self.scaled and self.pruning.granularity == "weight"
        require(not scaled, "scaled", self.scaled, "off where single weights are removed")
        fits = self.first_epochs * (self.cycles - 1) < self.fit.epochs * self.cycles
        require(fits, "first_epochs", self.first_epochs, "so few that the last cycle has an epoch")

    @property
    def prunings(self) -> int:
        """Prunings needed from σ0 to the target.

        Equation 2 with two corrections. A cycle keeps 1 - ρ, so log(1 - ρ) replaces log ρ; and the printed result is
        one too small. The guard keeps log 16 / log 2 = 4.000…1 from becoming 5.
        """
        exact = log(self.target_sigma / self.initial_sigma) / -log(1 - self.pruning_fraction)
        return ceil(exact - 1e-9)

    @property
    def cycles(self) -> int:
        """Trainings: one more than prunings, and the extra ones; one fewer where pruning comes first."""
        return max(1, self.prunings + 1 - self.pruning.before_training) + self.extra_cycles

    def prunings_before(self, cycle: int) -> int:
        """Prunings done before cycle `cycle` (from 0) is trained."""
        return min(cycle + self.pruning.before_training, self.prunings)

    @property
    def recipe(self) -> AdapterRecipe:
        """How the adapters start and train."""
        return AdapterRecipe(init=self.init, scaled=self.scaled, adapter_drop=self.adapter_drop)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Epochs of every cycle."""
        if not self.first_epochs:
            return (self.fit.epochs,) * self.cycles
        first = (self.first_epochs,) * (self.cycles - 1)
        return (*first, self.cycles * self.fit.epochs - sum(first))

    def epochs_before(self, cycle: int) -> int:
        """Epochs of all cycles before cycle `cycle` (from 0)."""
        return sum(self.lengths[:cycle])

    def fit_of(self, cycle: int) -> FitOptions:
        """The training of one cycle; the warm-up is no larger a part of it than of a cycle of `fit.epochs`."""
        epochs = self.lengths[cycle]
        warmup = self.fit.warmup_epochs * min(1.0, epochs / self.fit.epochs)
        return replace(self.fit, epochs=epochs, warmup_epochs=warmup)

    def schedule_of(self, cycle: int) -> tuple[FitOptions, int] | None:
        """Schedule of the learning rate and the epochs of it that lie before a cycle; None: it is the cycle's own."""
        if self.restart == "cycle":
            return None
        return replace(self.fit, epochs=sum(self.lengths)), self.epochs_before(cycle)

    def initial_widths(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        """Hidden size at every site at σ0, for channels `dims`; at least 1."""
        reach = 4 if self.sigma_definition == "mlp" else 1
        return tuple(max(1, int(reach * dim // self.initial_sigma)) for dim in dims)

    def as_dict(self) -> dict[str, object]:
        """JSON values: what a checkpoint and a report carry."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """The data, the output and the device of a training.

    Attributes:
        image_column: of a Parquet file or hub data set.
        label_column: of a Parquet file or hub data set.
        group_by: keep images together that share a column, a pattern of the path, or look-alike.
        resize: crop keeps the centre of an image, squash the whole of it, whatever its proportions.
        out: where to write the task adapter file; none: in the run's folder.
        folder: the run's folder, where a run is continued; none: runs/DATA.
        backbone: a timm architecture; none: the bundled backbone.
        weights: a safetensors file with the backbone's weights.
        device: cpu, cuda or cuda:NUMBER; none: cuda if there is one.
        tensorboard: write what TensorBoard shows into this folder.
        preset: what the options below start from.
        method: mimi trains adapters; head computes a head on the bare backbone in closed form, in seconds.
        statistics: put those of the features into the file, so that a class can be added later; head always does.
    """

    image_column: str = "image"
    label_column: str = "label"
    group_by: str = ""
    resize: Literal["crop", "squash"] = "crop"
    out: Path | None = None
    folder: Path | None = None
    backbone: str | None = None
    weights: Path | None = None
    device: str | None = None
    tensorboard: Path | None = None
    preset: Literal["short", "paper"] = "short"
    method: Literal["mimi", "head"] = "mimi"
    statistics: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRequest:
    """Which part of a comparison to do, with which data.

    Attributes:
        data: folder that the data sets lie under.
        only: do these methods of the file alone, between commas.
        dry_run: list finished and open cells, and train nothing.
        plan: print what would train, its cost, and what data is missing.
        device: cpu, cuda or cuda:NUMBER; none: cuda if there is one.
        ray: train on a Ray cluster, each cell in a worker: its address, auto for the one that runs here, or local to
            start one on this machine; none: in this process.
        cell_cpus: cores of each such worker.
    """

    data: Path = Path()
    only: tuple[str, ...] = ()
    dry_run: bool = False
    plan: bool = False
    device: str | None = None
    ray: str | None = None
    cell_cpus: Annotated[int, at_least(1)] = 1

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            BadConfig: naming the option and its value.
        """
        validate(self)


def slug(name: str) -> str:
    """A task id, or a folder's name, made of a data set's name: without what neither may have."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_").lower() or "run"
