"""Every choice of a MiMi run, with its default and where the paper and its released code disagree.

Defaults follow the corrected reading of the paper (Marouf, Tartaglione, Lathuilière, WACV 2024) for a full-length
run; docs/training.md lists each ambiguous convention. Short runs need `learning_rates`: with few steps at a small
rate the ranking of neurons is still that of their random initialisation, and pruning is noise.
"""

from dataclasses import asdict, dataclass
from math import ceil, log
from typing import Literal

Init = Literal["trunc_normal", "zero_up", "linear"]
Normalise = Literal["mean", "n_plus_m", "sum"]
SigmaDefinition = Literal["mlp", "dim"]


def _require(condition: bool, name: str, value: object, rule: str) -> None:
    if not condition:
        raise ValueError(f"{name} must be {rule}, not {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """How one cycle trains.

    Attributes:
        epochs: of one cycle, warm-up included (the published command's reading is 80, the text's 100).
        warmup_epochs: linear warm-up at the start of every cycle.
        warmup_prefix: start the cosine after the warm-up; False, as the code does, starts it at step 0, so that
            the rate drops a little where the warm-up ends.
        batch_size: images a step (not stated in the paper; the code's protocol is 512).
        learning_rate: peak rate at `reference_batch` images a step.
        reference_batch: the rate scales with batch_size / reference_batch; None takes it as given.
        weight_decay: AdamW's, on matrices; vectors have none.
        clip: largest gradient norm over all trained parameters together.
        label_smoothing: of the cross-entropy.
        drop_path: stochastic depth in the frozen branches, growing linearly with depth. The code leaves the
            backbone's own rate on (Swin-T 0.2); off here, so that a prefix without adapters is deterministic.
        flip: mirror half of the training images.
        shift: move training images by up to this many pixels each way (edges repeated).
        rotate: turn training images by up to this many degrees.
        zoom: scale training images by a factor in 1 ± this.
        jitter: scale brightness and contrast of training images by factors in 1 ± this.
        drop_last: leave out the last short batch of an epoch, as the code does.
    """

    epochs: int = 100
    warmup_epochs: float = 20
    warmup_prefix: bool = False
    batch_size: int = 512
    learning_rate: float = 5e-4
    reference_batch: int | None = 512
    weight_decay: float = 0.05
    clip: float = 5.0
    label_smoothing: float = 0.1
    drop_path: float = 0.0
    flip: bool = True
    shift: int = 4
    rotate: float = 0.0
    zoom: float = 0.0
    jitter: float = 0.0
    drop_last: bool = False

    def __post_init__(self) -> None:
        """Refuse what could not train.

        Raises:
            ValueError: naming the option and its value.
        """
        _require(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        _require(0 <= self.warmup_epochs < self.epochs, "warmup_epochs", self.warmup_epochs, "in [0, epochs)")
        _require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "positive")
        _require(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "in [0, 1)")
        _require(0 <= self.zoom < 1, "zoom", self.zoom, "in [0, 1)")
        _require(0 <= self.jitter <= 1, "jitter", self.jitter, "in [0, 1]")
        _require(0 <= self.drop_path < 1, "drop_path", self.drop_path, "in [0, 1)")

    @property
    def peak_rate(self) -> float:
        """The learning rate after scaling to the batch size."""
        scale = self.batch_size / self.reference_batch if self.reference_batch else 1.0
        return self.learning_rate * scale


@dataclass(frozen=True, slots=True, kw_only=True)
class MiMiOptions:
    """Algorithm 1: train, score, keep the best neurons over all sites, train again, until the target compression.

    Attributes:
        fit: how each cycle trains.
        initial_sigma: compression σ0 to start at; 32 is N = M/8 under "mlp".
        target_sigma: compression σ_target to end at.
        sigma_definition: "mlp" is 4M/N, which every number of the paper for Swin uses; "dim" is M/N, as printed.
        pruning_fraction: ρ, share of the remaining neurons removed between cycles.
        score: divide a neuron's sum of |w| by its number of weights 2M ("mean", the code), by N + M with the current
            N ("n_plus_m", as equation 3 is printed), or by nothing ("sum", I_0).
        score_weighted: also divide by the largest score at the site (off in all of the paper's scripts).
        optimizer: "keep" AdamW's moments over a pruning, shrunk with the weights, as the code does; or "rebuild".
        prune_last: prune once more after the last cycle without training again, as the code's exported models are.
        select: weights to export: of the "last" epoch, or of the epoch "best" on validation in the last cycle.
        init: "trunc_normal" (std 0.02, both matrices), "zero_up", or "linear" (PyTorch's default, the code's on ViT).
        validation: share of the training images held out for validation.
        learning_rates: rates tried for the first cycle, the best on validation goes on; empty: `fit.learning_rate`.
        seed: of the validation split, the initialisation, and every epoch's order and augmentation.
    """

    fit: FitOptions = FitOptions()
    initial_sigma: float = 32.0
    target_sigma: float = 512.0
    sigma_definition: SigmaDefinition = "mlp"
    pruning_fraction: float = 0.5
    score: Normalise = "mean"
    score_weighted: bool = False
    optimizer: Literal["keep", "rebuild"] = "keep"
    prune_last: bool = False
    select: Literal["last", "best"] = "last"
    init: Init = "trunc_normal"
    validation: float = 0.1
    learning_rates: tuple[float, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what could not train.

        Raises:
            ValueError: naming the option and its value.
        """
        _require(0 < self.pruning_fraction < 1, "pruning_fraction", self.pruning_fraction, "in (0, 1)")
        _require(self.initial_sigma > 0, "initial_sigma", self.initial_sigma, "positive")
        _require(self.target_sigma >= self.initial_sigma, "target_sigma", self.target_sigma, "at least initial_sigma")
        _require(0 < self.validation < 1, "validation", self.validation, "in (0, 1)")
        _require(all(rate > 0 for rate in self.learning_rates), "learning_rates", self.learning_rates, "positive")

    @property
    def prunings(self) -> int:
        """Prunings needed from σ0 to the target.

        Equation 2 with both of its slips mended: a cycle keeps 1 - ρ, so log(1 - ρ) replaces log ρ, and the result
        is not one too small. The guard keeps log 16 / log 2 = 4.000…1 from becoming 5.
        """
        exact = log(self.target_sigma / self.initial_sigma) / -log(1 - self.pruning_fraction)
        return ceil(exact - 1e-9)

    @property
    def cycles(self) -> int:
        """Trainings: one more than prunings."""
        return self.prunings + 1

    def initial_widths(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        """Hidden size at every site at σ0, for channels `dims`; at least 1."""
        reach = 4 if self.sigma_definition == "mlp" else 1
        return tuple(max(1, int(reach * dim // self.initial_sigma)) for dim in dims)

    def as_dict(self) -> dict[str, object]:
        """JSON values: what a checkpoint and a report carry."""
        return asdict(self)
