"""Frozen sub-layers through torch.compile, one by one: sub-layers of one kind and shape share what is compiled.

Adapters are left out: their widths change with every pruning.
"""

import copy

import torch._dynamo

from backbone import Backbone

# Of one kind of sub-layer: shapes of the stages, with and without a shift, with gradients and without, a last short
# batch. PyTorch's own limit is 8.
_VERSIONS = 128


def compiled(backbone: Backbone, backend: str = "inductor") -> Backbone:
    """A copy whose merging and branches are compiled when they are first computed; files are made from the original.

    A sub-layer that cannot be compiled as a whole fails there, with a message of PyTorch's.
    """
    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, _VERSIONS)
    own = copy.deepcopy(backbone)
    for site in own.sites:
        site.enter.compile(fullgraph=True, backend=backend)
        site.branch.compile(fullgraph=True, backend=backend)
    return own
