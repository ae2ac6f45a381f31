"""From a folder of libraries to what computes each sub-layer; nothing is used that does not give what a module gives.

A library is native code that this process will run: the folder must be writable by the server's own user only.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from backbone.kernels.bindings import Library
from backbone.kernels.branches import fast
from backbone.kernels.build import build, level, library_name
from backbone.kernels.errors import KernelsUnusable
from backbone.layers import Compute
from backbone.network import Backbone


@dataclass(frozen=True, slots=True)
class Loaded:
    """What computes the sub-layers of a backbone.

    Attributes:
        branches: one for each site; the module's own where kernels do not help.
        fast: how many of them use the kernels.
    """

    branches: tuple[Compute, ...]
    fast: int


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


def load(backbone: Backbone, folder: Path) -> Loaded:
    """Sub-layers over the library in `folder`; the backbone's own modules if there is none.

    Raises:
        KernelsUnusable: there is one, but it does not load, or gives something else than the modules.
    """
    path = path_in(folder)
    if not path.is_file():
        return Loaded(tuple(site.branch for site in backbone.sites), 0)
    library = Library(path)
    over = [fast(site.branch, library) for site in backbone.sites]
    branches = tuple(own or site.branch for own, site in zip(over, backbone.sites, strict=True))
    compare(backbone, branches)
    return Loaded(branches, sum(own is not None for own in over))


@torch.inference_mode()
def compare(backbone: Backbone, branches: tuple[Compute, ...]) -> None:
    """Compute two random images by both, site by site.

    Raises:
        KernelsUnusable: somewhere they differ by more than float32 explains.
    """
    images = torch.randn(2, 3, *backbone.preprocessing.size, generator=torch.Generator().manual_seed(0))
    x = backbone.embed(images)
    for site, branch in zip(backbone.sites, branches, strict=True):
        x, expected = site.opened(x)
        if not _close(branch(x), expected):
            raise KernelsUnusable(f"kernels do not give what sub-layer {site.index} gives")
        x = x + expected


def _close(given: Tensor, expected: Tensor) -> bool:
    tolerance = 1e-5 * max(1.0, float(expected.abs().max()))
    return given.shape == expected.shape and torch.allclose(given, expected, rtol=0, atol=tolerance)
