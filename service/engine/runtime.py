"""Computes a planned batch: the part of the engine that another device or another library replaces.

`Runtime` is the interface; `TorchRuntime` computes on the CPU. There a task's adapter is two products at its exact
width, on the slice of its rows. At a site, rows without a live adapter are left as they are. A site without live rows
is the bare sub-layer. A batch of one task over different images is one slice.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from backbone import Backbone
from backbone.backend import Backend, ModuleBackend, adapt_slices
from service.engine.cache import TierUsage
from service.engine.planning import Plan
from service.engine.weights import Resident


class Runtime(Protocol):
    """Computes planned batches, in one thread at a time. All other methods may be called from any thread."""

    @property
    def shares_trunk(self) -> bool:
        """Whether rows of other tasks on the same image share what they can; rows of the same task always do."""
        ...

    @property
    def precision(self) -> str:
        """Of the factors of products with frozen weights: "fp32", "bf16", "fp16" or "int8"."""
        ...

    def prepare(self, resident: Resident) -> None:
        """A task has become resident: start to copy its weights to the device, if that is not the host itself."""
        ...

    def pin(self, hashes: Collection[str]) -> None:
        """Let these contents, and no others, stay on the device once they are there."""
        ...

    def usage(self) -> TierUsage | None:
        """The contents of the device's own memory; None if batches read residents in the host's memory."""
        ...

    def forward(self, images: Tensor, plan: Plan) -> list[tuple[Tensor, Tensor]]:
        """Logits (rows, K) and features (rows, F) of each of the plan's groups, float32 on the CPU.

        Args:
            images: (B, 3, H, W) float32, normalised, in the order of the plan's images.
            plan: what to share and where to fork.
        """
        ...


class HostMemory:
    """Base of runtimes that read residents where they lie: nothing to copy, nothing to keep."""

    def prepare(self, resident: Resident) -> None:
        """Does nothing."""

    def pin(self, hashes: Collection[str]) -> None:
        """Does nothing."""

    def usage(self) -> TierUsage | None:
        """None: there is no memory of its own."""
        return None


class TorchRuntime(HostMemory):
    """PyTorch on the CPU. The backend that computes stem and sub-layers may be replaced at any time."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._backend: Backend = ModuleBackend(backbone)

    def use(self, backend: Backend) -> None:
        """Compute stem and sub-layers by `backend`, from the next batch on."""
        self._backend = backend  # one pointer move: a batch that is being computed keeps the one it began with

    @property
    def shares_trunk(self) -> bool:
        """True: the trunk is computed once."""
        return True

    @property
    def precision(self) -> str:
        """That of the backend."""
        return self._backend.precision

    @torch.inference_mode()
    def forward(self, images: Tensor, plan: Plan) -> list[tuple[Tensor, Tensor]]:
        """As `Runtime.forward`; the trunk that rows share is computed once."""
        x, sites = self._backend.embed(images), len(self._backbone.sites)
        for start, stop in _stretches(plan, sites):
            x = (
                self._forked(start, x, plan)
                if start in plan.forks
                else self._backend.advance(x, start, stop, plan.live)
            )
        features = self._backbone.pool(x)  # (B, F)
        if sites in plan.forks:  # tasks without a live site leave the trunk only here
            features = fork(features, plan.forks[sites])
        parts = [(resident.head, features[rows]) for resident, rows in plan.groups]
        return [(functional.linear(part, *head), part) for head, part in parts]

    def _forked(self, site: int, x: Tensor, plan: Plan) -> Tensor:
        """A site where rows fork: its branch still belongs to the trunk, its adapters to the rows."""
        x = self._backend.enter(site, x)
        x, h = (fork(tensor, plan.forks[site]) for tensor in (x, self._backend.branch(site, x)))
        return adapt_slices(h, plan.live.get(site, ()), x)


def _stretches(plan: Plan, sites: int) -> Iterator[tuple[int, int]]:
    """The sites from one fork to the next, and each site where rows fork by itself: first site, and last + 1."""
    edges = {0, sites, *plan.forks, *(site + 1 for site in plan.forks if site < sites)}
    return pairwise(sorted(edges))


def fork(x: Tensor, order: Sequence[int]) -> Tensor:
    """The rows of `x` (B, ...) that go on, some of them more than once: (len(order), ...)."""
    return x.index_select(0, torch.tensor(order, device=x.device))
