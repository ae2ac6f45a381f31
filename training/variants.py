"""MiMi's variants by name: the ablations of the paper's Table 2, and the serve-aware ones, which are ours.

An ablation changes what is removed and leaves everything else as it is. "-once" prunes a single time: it starts at
half the target compression, trains one cycle, prunes half, and trains as many cycles more as the others have.
"""

from collections.abc import Callable
from dataclasses import replace

from training.options import MiMiOptions, PruneOptions

Variant = Callable[[MiMiOptions], MiMiOptions]

# Sites before this one are emptied: two thirds of the way from the input, where a Swin's third stage has its middle.
TRUNK_SHARE = 2 / 3

ABLATIONS = {
    "random": PruneOptions(criterion="random", scope="site"),
    "local-down": PruneOptions(criterion="down", scope="site"),
    "local-gradient": PruneOptions(criterion="gradient", scope="site"),
    "local-i0": PruneOptions(normalise="sum", scope="site"),
    "sparse-adapter": PruneOptions(scope="site", granularity="weight"),
    "grasp": PruneOptions(criterion="grasp", scope="site", granularity="weight", before_training=True),
    "snip": PruneOptions(criterion="snip", scope="site", granularity="weight", before_training=True),
    "global-activation": PruneOptions(criterion="activation", normalise="n_plus_m"),
    "global-i0": PruneOptions(normalise="sum"),
    "mimi": PruneOptions(),
}


def pruned_by(prune: PruneOptions) -> Variant:
    """Iterative pruning by `prune`; all trainings count, so that the budget is the same where pruning comes first."""
    return lambda options: _same_cycles(options, replace(options, prune=prune))


def once(variant: Variant) -> Variant:
    """The one-shot form of an iterative variant."""

    def single(options: MiMiOptions) -> MiMiOptions:
        start = options.target_sigma * (1 - options.pruning_fraction)
        return _same_cycles(options, replace(variant(options), initial_sigma=start, extra_cycles=0))

    return single


def _same_cycles(budget: MiMiOptions, options: MiMiOptions) -> MiMiOptions:
    """`options` with as many cycles as `budget` has."""
    return replace(options, extra_cycles=options.extra_cycles + budget.cycles - options.cycles)


def for_serving(sites: int) -> PruneOptions:
    """Serve-aware selection for a backbone of `sites` sites: movement, behind a trunk of two thirds of them."""
    return PruneOptions(criterion="movement", trunk=round(TRUNK_SHARE * sites))


def variants(sites: int) -> dict[str, Variant]:
    """Every variant by name, for a backbone of `sites` sites."""
    iterative = {name: pruned_by(prune) for name, prune in ABLATIONS.items()}
    single = {f"{name}-once": once(variant) for name, variant in iterative.items()}
    aware = {
        "mimi-movement": PruneOptions(criterion="movement"),
        "mimi-per-flop": PruneOptions(criterion="movement", cost_exponent=1.0),
        "mimi-trunk": replace(for_serving(sites), criterion="weights"),
        "mimi-serve": for_serving(sites),
    }
    small: Variant = lambda options: replace(options, init="small")  # noqa: E731 - one of a table
    return {
        **iterative,
        **single,
        **{name: pruned_by(prune) for name, prune in aware.items()},
        "mimi-small-init": small,
    }
