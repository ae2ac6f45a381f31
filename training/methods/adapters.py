"""Vanilla series adapters, MiMi's own block without the pruning: by compression, by width, and tiny ones.

MiMi (Marouf, Tartaglione, Lathuilière, WACV 2024), equation 1 and table 1; after Houlsby et al. 2019.
"""

from backbone import Backbone
from training.model import AdaptedModel


def by_sigma(backbone: Backbone, classes: int, seed: int, *, sigma: int) -> AdaptedModel:
    """N = 4M // sigma neurons at every site, at least 1: what every number of the paper on Swin means by sigma."""
    widths = [max(1, 4 * site.dim // sigma) for site in backbone.sites]
    return AdaptedModel(backbone, widths, classes, seed=seed)


def by_width(backbone: Backbone, classes: int, seed: int, *, width: int) -> AdaptedModel:
    """`width` neurons at every site."""
    return AdaptedModel(backbone, [width] * len(backbone.sites), classes, seed=seed)


def tiny(backbone: Backbone, classes: int, seed: int, *, width: int = 1) -> AdaptedModel:
    """The control for "small adapters fail": the up-projection starts at zero, and rates are far larger."""
    return AdaptedModel(backbone, [width] * len(backbone.sites), classes, init="zero_up", seed=seed)
