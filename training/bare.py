"""The bare network where nothing is differentiated: on a CPU, over the kernels that serving computes with."""

from weakref import WeakKeyDictionary

import torch

from backbone import Backbone
from backbone.backend import Backend, ModuleBackend
from backbone.kernels import best, default_folder

_known: WeakKeyDictionary[Backbone, Backend] = WeakKeyDictionary()
_originals: WeakKeyDictionary[Backbone, Backbone] = WeakKeyDictionary()  # of those whose products are in bfloat16


def lower_bare(lowered: Backbone, original: Backbone) -> None:
    """Have `bare` compute `lowered` in bfloat16 from the weights of the network that it is a copy of."""
    _originals[lowered] = original


def bare(backbone: Backbone) -> Backend:
    """What computes a network without gradients; looked for once, so that a run has the same numbers.

    The kernels are compiled if they are not there: two seconds, once. Without a compiler the modules compute.
    """
    if backbone not in _known:
        _known[backbone] = _found(backbone)
    return _known[backbone]


def _found(backbone: Backbone) -> Backend:
    if backbone in _originals:
        return best(_originals[backbone], default_folder(), compiles=True, bf16=True)
    if any(weight.device.type != "cpu" or weight.dtype != torch.float32 for weight in backbone.parameters()):
        return ModuleBackend(backbone)
    return best(backbone, default_folder(), compiles=True)
