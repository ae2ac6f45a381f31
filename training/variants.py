"""MiMi's variants by name: the ablations of the paper's Table 2, and the serve-aware ones, which are ours.

An ablation changes only which neurons or weights are removed. "-once" prunes a single time: it starts at half the
target compression, trains one cycle, and prunes half. Then it trains until it has as many cycles as the others.
"""

from collections.abc import Callable
from dataclasses import asdict, replace

from training.options import ADAPTER_PLUS, MiMiOptions, PruningOptions

Variant = Callable[[MiMiOptions], MiMiOptions]

# Sites before this one are emptied: two thirds of the way from the input, where a Swin's third stage has its middle.
TRUNK_SHARE = 2 / 3

ABLATIONS = {
    "random": PruningOptions(criterion="random", scope="site"),
    "local-down": PruningOptions(criterion="down", scope="site"),
    "local-gradient": PruningOptions(criterion="gradient", scope="site"),
    "local-i0": PruningOptions(normalise="sum", scope="site"),
    "sparse-adapter": PruningOptions(scope="site", granularity="weight"),
    "grasp-iterative": PruningOptions(criterion="grasp", scope="site", granularity="weight", before_training=True),
    "snip-iterative": PruningOptions(criterion="snip", scope="site", granularity="weight", before_training=True),
    "global-activation": PruningOptions(criterion="activation", normalise="n_plus_m"),
    "global-i0": PruningOptions(normalise="sum"),
    "mimi": PruningOptions(),
}


def pruned_by(pruning: PruningOptions) -> Variant:
    """Iterative pruning by `pruning`; all trainings count, so that the budget is the same where pruning comes first."""
    return lambda options: _same_cycles(options, replace(options, pruning=pruning))


def once(variant: Variant) -> Variant:
    """The one-shot form of an iterative variant."""

    def single(options: MiMiOptions) -> MiMiOptions:
        start = options.target_sigma * (1 - options.pruning_fraction)
        return _same_cycles(options, replace(variant(options), initial_sigma=start, extra_cycles=0))

    return single


def _same_cycles(budget: MiMiOptions, options: MiMiOptions) -> MiMiOptions:
    """`options` with as many cycles as `budget` has."""
    return replace(options, extra_cycles=options.extra_cycles + budget.cycles - options.cycles)


def for_serving(sites: int) -> PruningOptions:
    """Serve-aware selection for a backbone of `sites` sites: movement, behind a trunk of two thirds of them."""
    return PruningOptions(criterion="movement", trunk=round(TRUNK_SHARE * sites))


def _once_name(name: str) -> str:
    """The paper's rows of SNIP and GraSP are the one-shot forms, so that both forms say which they are."""
    return f"{name.removesuffix('-iterative')}-once"


def variants(sites: int) -> dict[str, Variant]:
    """Every variant by name, for a backbone of `sites` sites."""
    iterative = {name: pruned_by(pruning) for name, pruning in ABLATIONS.items()}
    single = {_once_name(name): once(variant) for name, variant in iterative.items()}
    aware = {
        "mimi-movement": PruningOptions(criterion="movement"),
        "mimi-per-flop": PruningOptions(criterion="movement", cost_exponent=1.0),
        "mimi-trunk": replace(for_serving(sites), criterion="weights"),
        "mimi-serve": for_serving(sites),
    }
    small: Variant = lambda options: replace(options, init="small")  # noqa: E731 - one of a table
    return {
        **iterative,
        **single,
        **{name: pruned_by(pruning) for name, pruning in aware.items()},
        "mimi-small-init": small,
        "mimi-plus": lambda options: replace(options, **asdict(ADAPTER_PLUS)),
    }
