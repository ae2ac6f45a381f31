"""The bare network where nothing is differentiated: on a CPU, over the kernels that serving computes with."""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch

from backbone import Backbone
from backbone.arithmetic import Compute, by_modules
from backbone.kernels import best, default_folder

_known: WeakKeyDictionary[Backbone, Sequence[Compute]] = WeakKeyDictionary()


def branches_of(backbone: Backbone) -> Sequence[Compute]:
    """What computes each site's branch without gradients; looked for once, so that a run has the same numbers.

    The kernels are compiled if they are not there: two seconds, once. Without a compiler the modules compute.
    """
    if backbone not in _known:
        _known[backbone] = _found(backbone)
    return _known[backbone]


def _found(backbone: Backbone) -> Sequence[Compute]:
    if any(weight.device.type != "cpu" or weight.dtype != torch.float32 for weight in backbone.parameters()):
        return by_modules(backbone)
    return best(backbone, default_folder(), compiles=True)
