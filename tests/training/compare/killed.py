"""The candidates of the comparison that is killed: a method and MiMi, on tiny data."""

from backbone import Backbone
from training.compare.candidate import Make
from training.compare.catalogue import of_variant
from training.compare.generic import of_method
from training.model import AdaptedModel, TaskModel

METHODS = "vanilla = {}\nmimi = { initial_sigma = 16.0 }"


def build(backbone: Backbone, classes: int, seed: int) -> TaskModel:
    """Adapters as large as MiMi's at first."""
    return AdaptedModel(backbone, (4, 4, 8, 8), classes, seed=seed)


MAKERS: dict[str, Make] = {"vanilla": of_method(build), "mimi": of_variant(lambda options: options)}
