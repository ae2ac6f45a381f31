"""Every contestant by name: the linear probe, the registry's methods, small vanilla adapters, MiMi and its variants."""

from functools import partial

from backbone import Backbone
from training.compare.contestant import Make, linear_probe
from training.compare.generic import of_method
from training.compare.pruned import of_variant
from training.methods import METHODS, Method, merged
from training.methods.flops import paper_flops, true_flops
from training.model import AdaptedModel, TaskModel
from training.options import MiMiOptions
from training.variants import variants

PRUNINGS = 8  # of MiMi, up to which vanilla adapters of its size are a contestant: beyond, N is 1 everywhere


def catalogue(sites: int) -> dict[str, Make]:
    """Contestants by the names a configuration gives them, for a backbone of `sites` sites."""
    made: dict[str, Make] = {"linear-probe": linear_probe}
    made |= {name: _registered(method) for name, method in METHODS.items()}
    made |= {f"vanilla-after-{k}": of_method(partial(vanilla_after, k), since=k) for k in range(1, PRUNINGS + 1)}
    return made | {name: of_variant(change) for name, change in variants(sites).items()}


def _registered(method: Method) -> Make:
    return of_method(method.build, method.rates, served=merged if method.mergeable else None)


def flops(model: TaskModel) -> tuple[int, int]:
    """Of one image: everything counted, and as the paper counts."""
    return true_flops(model), paper_flops(model)


def vanilla_after(prunings: int, backbone: Backbone, classes: int, seed: int) -> AdaptedModel:
    """Vanilla adapters, in proportion to the channels, at the compression MiMi has after `prunings` prunings."""
    start = MiMiOptions()
    sigma = start.initial_sigma / (1 - start.pruning_fraction) ** prunings
    at = MiMiOptions(initial_sigma=sigma, target_sigma=max(sigma, start.target_sigma))
    return AdaptedModel(backbone, at.initial_widths(tuple(site.dim for site in backbone.sites)), classes, seed=seed)
