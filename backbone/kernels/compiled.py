"""A backend over the compiled kernels: consecutive sub-layers are one call, during which other threads run."""

from collections.abc import Sequence
from itertools import groupby

from torch import Tensor

from backbone.backend import BARE, Live, ModuleBackend
from backbone.kernels.bindings import Library, sum_of
from backbone.kernels.steps import step_of
from backbone.kernels.structures import OUTPUT, Step
from backbone.network import Backbone


class Compiled(ModuleBackend):
    """Computes sub-layers by a library where it supports them, and by their modules elsewhere."""

    def __init__(self, backbone: Backbone, library: Library) -> None:
        """Compute `backbone`; the library keeps a copy of its layers' weights."""
        super().__init__(backbone)
        self._library = library
        self._steps = tuple(step_of(site, library) for site in backbone.sites)

    @property
    def compiled(self) -> int:
        """How many sub-layers the library computes."""
        return sum(step is not None for step in self._steps)

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
