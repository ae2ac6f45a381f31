"""The number of kernel launches of a batch on a GPU, with and without recorded graphs. Counted on the CPU, which
launches the same.

An operation that gives a view launches nothing; any other is one launch at least. A recording is one, whatever is in
it. The cost of a launch depends on the device and is not measured here.

    python -m benchmarks studies.launches --json launches.json
"""

import argparse
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from adapters_store import TaskAdapter
from backbone import BUNDLED, Backbone, load_backbone
from benchmarks.measure import context, write_json
from benchmarks.synthetic import task_adapter
from service.engine import Engine, Row
from service.engine.padded import PaddedRuntime
from service.engine.padded.graphs import Direct, Player
from service.engine.padded.runtime import HOT

PACKAGES = ("torch", "timm", "numpy")
TASKS = 8  # one row each
_WIDTH = 4  # neurons of each adapter


class Launches(TorchDispatchMode):
    """Counts what is launched inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count, self.recorded = 0, False

    def of(self, function: Callable[[], object]) -> int:
        """The number of launches of a call of `function`."""
        self.count = 0
        with self:
            function()
        return self.count

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        self.count += not (func.is_view or self.recorded)
        return func(*args, **(kwargs or {}))


class Recorded(Direct):
    """A recording counts as one launch."""

    def __init__(self, launches: Launches) -> None:
        self._launches = launches

    def run(self, key: Hashable, function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Tensor:
        """As a graph that is played back."""
        self._launches.count += 1
        self._launches.recorded = True
        try:
            return super().run(key, function, inputs)
        finally:
            self._launches.recorded = False


def counts(backbone: Backbone, widths: Sequence[int]) -> dict[str, int]:
    """Launches of a batch of `TASKS` rows, each of a task of its own with these widths.

    Returns:
        As it is (`eager`), with every step recorded (`steps`), and recorded as a whole, once its like has come often.
    """
    initial = [_WIDTH] * len(widths)
    made = [task_adapter(backbone, widths, classes=10, seed=seed, initial_widths=initial) for seed in range(TASKS)]
    launches = Launches()
    eager, recorded = (_batch(backbone, player, made) for player in (Direct(), Recorded(launches)))
    found = {"eager": launches.of(eager), "steps": launches.of(recorded)}
    for _ in range(HOT):
        found["whole"] = launches.of(recorded)
    return found


def _batch(backbone: Backbone, player: Player, adapters: Sequence[TaskAdapter]) -> Callable[[], object]:
    """Computes a batch of one row for each task, whose weights have been written by the first one."""
    runtime = PaddedRuntime(backbone, device=torch.device("cpu"), dtype=torch.float32, player=player)
    engine, (height, width) = Engine(backbone, runtime), backbone.preprocessing.size
    pixels = np.random.default_rng(0).integers(0, 256, (TASKS, height, width, 3), dtype=np.uint8)
    rows = [Row(engine.admit(adapter, str(number)), pixels[number]) for number, adapter in enumerate(adapters)]
    engine.run(rows)
    return lambda: engine.run(rows)


def measure(names: Sequence[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Every network, without an adapter and with one at every site, as JSON values."""
    found = {}
    for name in names:
        backbone = load_backbone(name)
        sites = len(backbone.sites)
        found[name] = {"bare": counts(backbone, [0] * sites), "adapted": counts(backbone, [_WIDTH] * sites)}
    return found


def main(arguments: Sequence[str]) -> int:
    """Count, print and write."""
    parser = argparse.ArgumentParser(prog="benchmarks studies.launches", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, required=True, help="file to write")
    parser.add_argument("--backbone", nargs="+", default=[BUNDLED], help="names (default: the bundled one)")
    options = parser.parse_args(arguments)
    found = measure(options.backbone)
    for name, kinds in found.items():
        print(name, *(f"{kind}: {count}" for kind, count in kinds.items()), sep="\n  ")
    write_json(options.json, {"benchmark": "launches", "tasks": TASKS, "launches": found, **context(PACKAGES)})
    return 0
