"""From a folder of libraries to what computes each sub-layer; nothing is used that does not give what a module gives.

A library is native code that this process will run: the folder must be writable by the server's own user only.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from backbone.adapter import SiteWeights
from backbone.arithmetic import Compute, Plain, adapt_slices, by_modules
from backbone.kernels.bindings import Library
from backbone.kernels.branches import fast
from backbone.kernels.build import build, level, library_name
from backbone.kernels.errors import KernelError, KernelsUnusable
from backbone.network import Backbone

_log = logging.getLogger(__name__)


def path_in(folder: Path) -> Path:
    """Where this machine's library lies, or would."""
    return folder / library_name(level())


def build_missing(folder: Path) -> bool:
    """Compile this machine's library into `folder` unless it is there; returns whether it was not.

    Raises:
        CompilerMissing, KernelError, OSError: see `build`.
    """
    if path_in(folder).is_file():
        return False
    build(folder, level())
    return True


def load(backbone: Backbone, folder: Path) -> tuple[Compute, ...]:
    """What computes each site's branch over the library in `folder`; its own module where that does not help.

    Raises:
        KernelsUnusable: there is a library, but it does not load, or gives something else than the modules.
    """
    path = path_in(folder)
    if not path.is_file():
        return by_modules(backbone)
    library = Library(path)
    branches = tuple(fast(site.branch, library) or Plain(site.branch) for site in backbone.sites)
    compare(backbone, branches)
    return branches


def best(backbone: Backbone, folder: Path, *, compiles: bool) -> tuple[Compute, ...]:
    """What computes each site's branch fastest here; whatever goes wrong with kernels, the log says, and modules do it.

    Args:
        backbone: the network.
        folder: where libraries lie.
        compiles: whether a missing library is made, which takes two seconds.
    """
    try:
        if compiles:
            build_missing(folder)
        return load(backbone, folder)
    except (KernelError, OSError) as error:
        _log.warning("kernels are not used: %s", error)
        return by_modules(backbone)


def used_by(branches: Sequence[Compute]) -> int:
    """How many of the branches are computed by a library."""
    return sum(not isinstance(branch, Plain) for branch in branches)


@torch.inference_mode()
def compare(backbone: Backbone, branches: tuple[Compute, ...]) -> None:
    """Compute two random images by both, site by site, one of them with an adapter.

    Raises:
        KernelsUnusable: somewhere they differ by more than float32 explains.
    """
    draws = torch.Generator().manual_seed(0)
    x = backbone.embed(torch.randn(2, 3, *backbone.preprocessing.size, generator=draws))
    for site, branch in zip(backbone.sites, branches, strict=True):
        x, h = site.opened(x)
        down, up = torch.randn(2, 3, site.dim, generator=draws)
        live = [(SiteWeights(down, up.t().contiguous()), slice(1, 2))]
        pairs = ((branch(x), h), (branch.added(x), x + h), (branch.added(x, live), adapt_slices(h.clone(), live, x)))
        if not all(_close(*pair) for pair in pairs):
            raise KernelsUnusable(f"kernels do not give what sub-layer {site.index} gives")
        x = x + h


def _close(given: Tensor, expected: Tensor) -> bool:
    tolerance = 1e-5 * max(1.0, float(expected.abs().max()))
    return given.shape == expected.shape and torch.allclose(given, expected, rtol=0, atol=tolerance)
