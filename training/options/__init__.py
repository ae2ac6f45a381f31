"""Every choice of a MiMi run, with its default and where the paper and its released code disagree.

Defaults follow the corrected reading of the paper (Marouf, Tartaglione, Lathuilière, WACV 2024) for a full-length
run; docs/training.md lists each ambiguous convention. Short runs need `learning_rates`: with few steps at a small
rate the ranking of neurons is still that of their random initialisation, and pruning is noise.
"""

from training.options.fit import FitOptions
from training.options.mimi import Init, MiMiOptions, Precision, SigmaDefinition
from training.options.prune import Criterion, Normalise, PruneOptions

__all__ = [
    "Criterion",
    "FitOptions",
    "Init",
    "MiMiOptions",
    "Normalise",
    "Precision",
    "PruneOptions",
    "SigmaDefinition",
]
