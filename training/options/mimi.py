"""Algorithm 1 as a whole."""

from dataclasses import asdict, dataclass, field
from math import ceil, log
from typing import Literal

from training.options.fit import FitOptions
from training.options.prune import PruneOptions
from training.options.require import require

Init = Literal["trunc_normal", "small", "zero_up", "linear"]
SigmaDefinition = Literal["mlp", "dim"]
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MiMiOptions:
    """Algorithm 1: train, score, keep the best neurons over all sites, train again, until the target compression.

    Attributes:
        fit: how each cycle trains.
        initial_sigma: compression σ0 to start at; 32 is N = M/8 under "mlp".
        target_sigma: compression σ_target to end at.
        sigma_definition: "mlp" is 4M/N, which every number of the paper for Swin uses; "dim" is M/N, as printed.
        pruning_fraction: ρ, share of the remaining neurons removed between cycles.
        prune: what is removed between cycles.
        extra_cycles: cycles trained at the last size after its first.
        optimizer: "keep" AdamW's moments over a pruning, shrunk with the weights, as the code does; or "rebuild".
        prune_last: prune once more after the last cycle without training again, as the code's exported models are.
        select: weights to export: of the "last" epoch, or of the epoch "best" on validation in the last cycle.
        init: "trunc_normal" (std 0.02, both matrices), "small" (std 0.002: too small to matter in a score; ours),
            "zero_up", or "linear" (PyTorch's default, the code's on ViT).
        validation: share of the training images held out for validation.
        learning_rates: rates tried for the first cycle, the best on validation goes on; empty: `fit.learning_rate`.
        precision: of the frozen products; "auto" is bf16 on CUDA and fp32 on a CPU, where bf16 pays if the processor
            multiplies it (AVX-512 BF16, AMX). What trains is float32.
        compile: the frozen sub-layers with torch.compile.
        seed: of the validation split, the initialisation, and every epoch's order and augmentation.
    """

    fit: FitOptions = field(default_factory=FitOptions)
    initial_sigma: float = 32.0
    target_sigma: float = 512.0
    sigma_definition: SigmaDefinition = "mlp"
    pruning_fraction: float = 0.5
    prune: PruneOptions = field(default_factory=PruneOptions)
    extra_cycles: int = 0
    optimizer: Literal["keep", "rebuild"] = "keep"
    prune_last: bool = False
    select: Literal["last", "best"] = "last"
    init: Init = "trunc_normal"
    validation: float = 0.1
    learning_rates: tuple[float, ...] = ()
    precision: Precision = "auto"
    compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what could not train.

        Raises:
            ValueError: naming the option and its value.
        """
        require(0 < self.pruning_fraction < 1, "pruning_fraction", self.pruning_fraction, "in (0, 1)")
        require(self.initial_sigma > 0, "initial_sigma", self.initial_sigma, "positive")
        require(self.target_sigma >= self.initial_sigma, "target_sigma", self.target_sigma, "at least initial_sigma")
        require(self.extra_cycles >= 0, "extra_cycles", self.extra_cycles, "at least 0")
        zeros = self.init == "zero_up" and self.prune.granularity == "weight"
        require(not zeros, "init", self.init, "other than zero_up where single weights are removed")
        require(0 < self.validation < 1, "validation", self.validation, "in (0, 1)")
        require(all(rate > 0 for rate in self.learning_rates), "learning_rates", self.learning_rates, "positive")

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
        """Trainings: one more than prunings, and the extra ones; one fewer where pruning comes first."""
        return max(1, self.prunings + 1 - self.prune.before_training) + self.extra_cycles

    def prunings_before(self, cycle: int) -> int:
        """Prunings done before cycle `cycle` (from 0) is trained."""
        return min(cycle + self.prune.before_training, self.prunings)

    def initial_widths(self, dims: tuple[int, ...]) -> tuple[int, ...]:
        """Hidden size at every site at σ0, for channels `dims`; at least 1."""
        reach = 4 if self.sigma_definition == "mlp" else 1
        return tuple(max(1, int(reach * dim // self.initial_sigma)) for dim in dims)

    def as_dict(self) -> dict[str, object]:
        """JSON values: what a checkpoint and a report carry."""
        return asdict(self)
