"""From a folder of libraries to what computes each sub-layer; nothing is used that does not give what a module gives.

A library is native code that this process will run: the folder must be writable by the server's own user only.
"""

from pathlib import Path

import torch
from torch import Tensor

from backbone.adapter import SiteWeights
from backbone.arithmetic import Arithmetic, adapt_slices, by_modules
from backbone.kernels.bindings import Library
from backbone.kernels.branches import fast
from backbone.kernels.build import build, level, library_name
from backbone.kernels.errors import KernelsUnusable
from backbone.network import Backbone


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
    """Sub-layers and adapters over the library in `folder`; the backbone's own modules if there is none.

    Raises:
        KernelsUnusable: there is one, but it does not load, or gives something else than the modules.
    """
    path = path_in(folder)
    if not path.is_file():
        return by_modules(backbone)
    library = Library(path)
    over = [fast(site.branch, library) for site in backbone.sites]
    whole = not any(site.dim % library.lanes for site in backbone.sites)
    arithmetic = Arithmetic(
        branches=tuple(own or site.branch for own, site in zip(over, backbone.sites, strict=True)),
        adapt=library.adapt if whole else adapt_slices,
        fast=sum(own is not None for own in over),
    )
    compare(backbone, arithmetic)
    return arithmetic


@torch.inference_mode()
def compare(backbone: Backbone, arithmetic: Arithmetic) -> None:
    """Compute two random images by both, site by site, one of them with an adapter.

    Raises:
        KernelsUnusable: somewhere they differ by more than float32 explains.
    """
    draws = torch.Generator().manual_seed(0)
    x = backbone.embed(torch.randn(2, 3, *backbone.preprocessing.size, generator=draws))
    for site, branch in zip(backbone.sites, arithmetic.branches, strict=True):
        x, h = site.opened(x)
        down, up = torch.randn(2, 3, site.dim, generator=draws)
        live = [(SiteWeights(down, up.t().contiguous()), slice(1, 2))]
        expected = adapt_slices(h.clone(), live, x)
        given = arithmetic.adapt(branch(x), live, x)
        if not (_close(branch.added(x), x + h) and _close(given, expected)):
            raise KernelsUnusable(f"kernels do not give what sub-layer {site.index} gives")
        x = x + h


def _close(given: Tensor, expected: Tensor) -> bool:
    tolerance = 1e-5 * max(1.0, float(expected.abs().max()))
    return given.shape == expected.shape and torch.allclose(given, expected, rtol=0, atol=tolerance)
