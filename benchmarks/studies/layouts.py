"""Ways to lay out the adapters of a mixed batch, on the CPU: each task at its exact width, padded, all in one product.

Every site of the bundled backbone in turn, one image a row. Only the adapters are timed. All three give the same
numbers:

- *Exact* is two products for each task on its rows.
- *Padded* takes each row's matrices from a bank whose slots are as wide as the widest task, for one batched product.
  That is the layout for CUDA, where a launch costs more than the padding.
- *Together* multiplies every row by the neurons of all tasks and masks those of others.

On a CPU the server computes the exact layout inside our kernels. Its time is that of the network with adapters less
that of the bare network.

    python -m benchmarks studies.layouts --json layouts.json
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from backbone import Backbone, SiteWeights, kernels, load_backbone
from backbone.backend import Slice, adapt_slices
from benchmarks.engine.material import HALVINGS, full_widths, pruned_widths
from benchmarks.measure import context, differences, interleave, ratios, write_json

PACKAGES = ("torch", "numpy")
ROWS = 16
CASES = {"one task": 1, "four tasks": 4, "a task for each row": ROWS}  # of a batch


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """The adapters of one site in a batch of `ROWS` rows, which lie in the order of their tasks.

    Attributes:
        h: the branch's output (ROWS, T, M).
        x: what entered it, likewise.
        tasks: one adapter for each task.
    """

    h: Tensor
    x: Tensor
    tasks: Sequence[SiteWeights]

    def slices(self) -> list[Slice]:
        """The live adapters, each with its rows."""
        each = ROWS // len(self.tasks)
        return [(task, slice(i * each, (i + 1) * each)) for i, task in enumerate(self.tasks) if len(task.down)]

    def exact(self) -> Callable[[], Tensor]:
        """Each task at its own width, removed adapters not at all."""
        slices = self.slices()
        return lambda: adapt_slices(self.h.clone(), slices, self.x)

    def padded(self) -> Callable[[], Tensor]:
        """Each row's matrices out of a bank of equal slots."""
        widest = max(len(task.down) for task in self.tasks)
        if not widest:
            return self._nothing
        down = torch.stack([functional.pad(task.down, (0, 0, 0, widest - len(task.down))) for task in self.tasks])
        up = torch.stack([functional.pad(task.up, (0, widest - len(task.down))) for task in self.tasks])
        slots = self._task_of_row()

        def run() -> Tensor:
            hidden = functional.gelu(self.h @ down[slots].mT)  # (ROWS, T, widest)
            return torch.baddbmm(self.h + self.x, hidden, up[slots].mT)

        return run

    def together(self) -> Callable[[], Tensor]:
        """The neurons of all tasks in one product."""
        down, up = torch.cat([task.down for task in self.tasks]), torch.cat([task.up for task in self.tasks], 1)
        if not len(down):
            return self._nothing
        of_task = torch.repeat_interleave(
            torch.arange(len(self.tasks)), torch.tensor([len(task.down) for task in self.tasks])
        )
        own = (self._task_of_row()[:, None] == of_task).float()[:, None]  # (ROWS, 1, neurons)
        return lambda: functional.linear(functional.gelu(functional.linear(self.h, down)) * own, up) + self.h + self.x

    def _task_of_row(self) -> Tensor:
        return torch.arange(len(self.tasks)).repeat_interleave(ROWS // len(self.tasks))

    def _nothing(self) -> Tensor:
        return self.h + self.x


LAYOUTS: Mapping[str, Callable[[Site], Callable[[], Tensor]]] = {
    "exact": Site.exact,
    "padded": Site.padded,
    "together": Site.together,
}


def sites_of(backbone: Backbone, tasks: int, *, pruned: bool) -> list[Site]:
    """Every site of a batch of so many tasks, with random weights."""
    full = full_widths(backbone)
    widths = [pruned_widths(full, sum(full) >> HALVINGS, seed=seed) if pruned else full for seed in range(tasks)]
    draws = torch.Generator().manual_seed(0)

    def adapter(width: int, dim: int) -> SiteWeights:
        return SiteWeights(torch.randn(width, dim, generator=draws), torch.randn(dim, width, generator=draws) / dim)

    return [
        Site(
            torch.randn(ROWS, site.tokens, site.dim, generator=draws),
            torch.randn(ROWS, site.tokens, site.dim, generator=draws),
            [adapter(each[site.index], site.dim) for each in widths],
        )
        for site in backbone.sites
    ]


@torch.inference_mode()
def measure(sites: Sequence[Site], *, rounds: int) -> dict[str, Any]:
    """Milliseconds of all sites in each layout, and as multiples of the exact one's; answers compared beforehand."""
    ways = {name: [layout(site) for site in sites] for name, layout in LAYOUTS.items()}
    for runs in zip(*ways.values(), strict=True):
        expected, *others = (run() for run in runs)
        for other in others:
            torch.testing.assert_close(other, expected, rtol=1e-4, atol=1e-4)
    times = interleave({name: partial(_all, runs) for name, runs in ways.items()}, rounds=rounds)
    seconds = {name: each.seconds for name, each in times.items()}
    return {
        "milliseconds": {name: 1e3 * median(each) for name, each in seconds.items()},
        "against_exact": {name: asdict(ratios(each, seconds["exact"])) for name, each in seconds.items()},
        "seconds": seconds,
    }


@torch.inference_mode()
def in_kernels(backbone: Backbone, sites: Sequence[Site], *, rounds: int) -> dict[str, Any]:
    """Milliseconds that the adapters of all sites add to the network inside our kernels."""
    kernels.build_missing(kernels.default_folder())
    compiled = kernels.load(backbone, kernels.default_folder())
    live = {index: site.slices() for index, site in enumerate(sites)}
    x = backbone.embed(torch.randn(ROWS, 3, *backbone.preprocessing.size))
    ways = {
        "bare": partial(compiled.advance, x, 0, len(sites)),
        "adapted": partial(compiled.advance, x, 0, len(sites), live),
    }
    times = {name: each.seconds for name, each in interleave(ways, rounds=rounds).items()}
    added = differences(times["adapted"], times["bare"])
    return {name: 1e3 * value for name, value in asdict(added).items()}


def _all(runs: Sequence[Callable[[], Tensor]]) -> None:
    for run in runs:
        run()


def main(arguments: Sequence[str]) -> int:
    """Measure, write the JSON file, print a table."""
    parser = argparse.ArgumentParser(prog="benchmarks studies.layouts", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--threads", type=int, default=2, help="of each product (default: 2)")
    parser.add_argument("--rounds", type=int, default=25, help="interleaved, at least 6 (default: 25)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    backbone, found = load_backbone(), {}
    for widths in ("full", "pruned"):
        for case, tasks in CASES.items():
            sites = sites_of(backbone, tasks, pruned=widths == "pruned")
            told = measure(sites, rounds=options.rounds)
            told["in_kernels_ms"] = in_kernels(backbone, sites, rounds=options.rounds)
            found[f"{widths}, {case}"] = told
            shares = "  ".join(f"{name} {value:.1f} ms" for name, value in told["milliseconds"].items())
            print(f"{widths + ', ' + case:28} {shares}  in kernels {told['in_kernels_ms']['median']:.1f} ms")
    chosen = {"threads": options.threads, "rounds": options.rounds}
    write_json(options.json, {"benchmark": "layouts", **chosen, **context(PACKAGES), "cases": found})
    return 0
