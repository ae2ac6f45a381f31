"""From a folder of libraries to what computes a network; nothing is used that does not give what its modules give.

A library is native code that this process will run: the folder must be writable by the server's own user only.
"""

import logging
from pathlib import Path

import torch
from torch import Tensor

from backbone.adapter import SiteWeights
from backbone.arithmetic import Arithmetic, ByModules, adapt_slices
from backbone.kernels.bindings import Library
from backbone.kernels.build import build, level, library_name
from backbone.kernels.compiled import Compiled
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


def load(backbone: Backbone, folder: Path) -> Arithmetic:
    """What computes a network over the library in `folder`; its own modules where that does not help.

    Raises:
        KernelsUnusable: there is a library, but it does not load, or gives something else than the modules.
    """
    path = path_in(folder)
    if not path.is_file():
        return ByModules(backbone)
    compiled = Compiled(backbone, Library(path))
    compare(backbone, compiled)
    return compiled


def best(backbone: Backbone, folder: Path, *, compiles: bool) -> Arithmetic:
    """What computes a network fastest here; whatever goes wrong with kernels, the log says, and modules do it.

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
        return ByModules(backbone)


@torch.inference_mode()
def compare(backbone: Backbone, compiled: Arithmetic) -> None:
    """Compute two random images by both: site by site, one of them with an adapter, and all sites in a row.

    Raises:
        KernelsUnusable: somewhere they differ by more than float32 explains.
    """
    draws = torch.Generator().manual_seed(0)
    first = x = backbone.embed(torch.randn(2, 3, *backbone.preprocessing.size, generator=draws))
    for index, site in enumerate(backbone.sites):
        entered, h = site.opened(x)
        down, up = torch.randn(2, 3, site.dim, generator=draws)
        live = [(SiteWeights(down, up.t().contiguous()), slice(1, 2))]
        pairs = (
            (compiled.enter(index, x), entered),
            (compiled.branch(index, entered), h),
            (compiled.advance(x, index, index + 1), entered + h),
            (compiled.advance(x, index, index + 1, {index: live}), adapt_slices(h.clone(), live, entered)),
        )
        if not all(_close(*pair) for pair in pairs):
            raise KernelsUnusable(f"kernels do not give what sub-layer {index} gives")
        x = entered + h
    if not _close(compiled.advance(first, 0, len(backbone.sites)), x, len(backbone.sites)):
        raise KernelsUnusable("kernels do not give what the network gives")


def _close(given: Tensor, expected: Tensor, times: int = 1) -> bool:
    """Whether they are as near as so many sub-layers leave them."""
    tolerance = times * 1e-5 * max(1.0, float(expected.abs().max()))
    return given.shape == expected.shape and torch.allclose(given, expected, rtol=0, atol=tolerance)
