"""What is removed between cycles."""

from dataclasses import dataclass, fields
from typing import Literal

from training.options.require import require

Normalise = Literal["mean", "n_plus_m", "sum"]
Criterion = Literal[
    "weights", "movement", "down", "gradient", "gradient_signed", "activation", "snip", "grasp", "random"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneOptions:
    """What is removed between cycles. The defaults are MiMi's; the others are Table 2's ablations, and ours.

    Attributes:
        criterion: what a weight is worth, see training.importance; "weights" is MiMi's |w|.
        normalise: divide a neuron's sum over its weights by their number 2M ("mean", the code), by N + M with the
            current N ("n_plus_m", as equation 3 is printed), or by nothing ("sum", I_0).
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
    cost_exponent: float = 0.0
    trunk: int = 0
    before_training: bool = False

    def __post_init__(self) -> None:
        """Refuse what could not be pruned.

        Raises:
            ValueError: naming the option and its value.
        """
        require(self.cost_exponent >= 0, "cost_exponent", self.cost_exponent, "at least 0")
        require(self.trunk >= 0, "trunk", self.trunk, "at least 0")
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
