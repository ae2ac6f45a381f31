"""A backend over the compiled kernels, from a folder of libraries.

A library is used only if its results are those of the network's modules. It is native code that this process runs, so
only the server's own user may be able to write the folder.
"""

import logging
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from backbone.adapter import SiteWeights
from backbone.backend import BARE, Backend, Live, ModuleBackend, adapt_slices
from backbone.kernels.bindings import Library, sum_of
from backbone.kernels.build import Precision, build, level, library_name
from backbone.kernels.errors import KernelError, KernelsUnusable
from backbone.kernels.steps import stem_of, step_of
from backbone.kernels.structures import OUTPUT, Step
from backbone.network import Backbone

_log = logging.getLogger(__name__)

_FP32 = 1e-5  # largest difference of a sub-layer in float32
# What rounding may add, as a share of the largest number. The largest seen on three random Swin-T are 0.015 in bfloat16
# and 0.092 in int8, where the same rounding by PyTorch's operators gives 0.092 as well.
_ROUNDING: dict[Precision, float] = {"fp32": 0.0, "bf16": 2e-2, "int8": 1e-1}


class Compiled(ModuleBackend):
    """Computes the sub-layers that a library supports with it, and all others with their modules."""

    def __init__(self, backbone: Backbone, library: Library) -> None:
        """Compute `backbone`; the library keeps a copy of its layers' weights."""
        super().__init__(backbone)
        self._library = library
        self._stem = stem_of(backbone.stem, library)
        self._steps = tuple(step_of(site, library) for site in backbone.sites)

    @property
    def compiled(self) -> int:
        """The number of sub-layers that the library computes."""
        return sum(step is not None for step in self._steps)

    @property
    def precision(self) -> str:
        """That of the library."""
        return self._library.precision

    def embed(self, images: Tensor) -> Tensor:
        """As `Backend.embed`."""
        return super().embed(images) if self._stem is None else self._library.embed(self._stem, images)

    def enter(self, site: int, x: Tensor) -> Tensor:
        """As `Backend.enter`; bit for bit as `advance` does it."""
        step = self._steps[site]
        return self._library.run([step.only_merging()], x) if step and step.merging else super().enter(site, x)

    def branch(self, site: int, x: Tensor) -> Tensor:
        """As `Backend.branch`."""
        step = self._steps[site]
        return super().branch(site, x) if step is None else self._library.run([step.only_branch(OUTPUT)], x)

    def advance(self, x: Tensor, start: int, stop: int, live: Live = BARE) -> Tensor:
        """As `Backend.advance`."""
        for known, sites in groupby(range(start, stop), key=lambda site: self._steps[site] is not None):
            row = list(sites)
            x = self._library.run(self._with(live, row), x) if known else self._by_modules(x, row, live)
        return x

    def _by_modules(self, x: Tensor, sites: Sequence[int], live: Live) -> Tensor:
        return super().advance(x, sites[0], sites[-1] + 1, live)

    def _with(self, live: Live, sites: Sequence[int]) -> list[Step]:
        """The steps of some sites, each with its adapters."""
        steps = ((self._steps[site], live.get(site)) for site in sites)
        return [step.ending_in(sum_of(adapters)) if adapters else step for step, adapters in steps if step is not None]


def path_in(folder: Path) -> Path:
    """The path of this machine's library, whether it exists or not."""
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


def load(backbone: Backbone, folder: Path, *, precision: Precision = "fp32") -> Backend:
    """A backend over the library in `folder`; the network's own modules if there is none.

    Args:
        backbone: the network, in float32.
        folder: where libraries lie.
        precision: of the factors of products with its weights.

    Raises:
        KernelsUnusable: there is a library, but it does not load, its results are not those of the modules, or the
            processor does not multiply such numbers.
    """
    path = path_in(folder)
    if not path.is_file():
        return ModuleBackend(backbone)
    compiled = Compiled(backbone, Library(path, precision=precision))
    compare(backbone, compiled, rounding=_ROUNDING[precision])
    return compiled


def best(backbone: Backbone, folder: Path, *, compiles: bool, precision: Precision = "fp32") -> Backend:
    """The fastest backend here. If anything fails with kernels, the log says so, and modules compute.

    Args:
        backbone: the network.
        folder: where libraries lie.
        compiles: whether a missing library is made, which takes two seconds.
        precision: as in `load`.
    """
    try:
        if compiles:
            build_missing(folder)
        return load(backbone, folder, precision=precision)
    except (KernelError, OSError) as error:
        _log.warning("kernels are not used: %s", error)
        return ModuleBackend(backbone)


@torch.inference_mode()
def compare(backbone: Backbone, compiled: Backend, *, rounding: float) -> None:
    """Compute two random images by both: site by site, one of them with an adapter, and all sites in a row.

    `rounding` is the allowed difference of a sub-layer as a share of its largest number, beside that of float32.

    Raises:
        KernelsUnusable: they differ by more than rounding explains.
    """

    def close(given: Tensor, expected: Tensor, sites: int = 1) -> bool:
        most = float(expected.abs().max())
        limit = sites * (_FP32 * max(1.0, most) + rounding * most)
        return given.shape == expected.shape and torch.allclose(given, expected, rtol=0, atol=limit)

    draws = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, *backbone.preprocessing.size, generator=draws)
    first = x = backbone.embed(images)
    if not close(compiled.embed(images), x):
        raise KernelsUnusable("kernels do not give what the stem gives")
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
        if not all(close(*pair) for pair in pairs):
            raise KernelsUnusable(f"kernels do not give what sub-layer {index} gives")
        x = entered + h
    if not close(compiled.advance(first, 0, len(backbone.sites)), x, len(backbone.sites)):
        raise KernelsUnusable("kernels do not give what the network gives")
