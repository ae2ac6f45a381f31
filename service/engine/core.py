"""The engine: task adapters in, answers to mixed batches out. Owns no thread, knows no queue and no task names."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
from torch import Tensor

from adapters_store import TaskAdapter
from backbone import Backbone
from service.engine import admission, golden
from service.engine.accounting import Cost, cost_of, spent_by, trunk_flops
from service.engine.bank import Packed, Resident, pack_file, place
from service.engine.golden import GoldenCheck
from service.engine.planning import plan
from service.engine.residency import Budgets, Residency, Usage
from service.engine.runtime import Runtime, TorchRuntime
from service.engine.staging import number, stage
from service.engine.tier import TierUsage


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One image for one task.

    Attributes:
        resident: the task's weights.
        pixels: uint8 (H, W, 3), as the backbone's preprocessing gives it; or float32 (3, H, W), normalised already.
    """

    resident: Resident
    pixels: np.ndarray


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that a row waited for the engine, and seconds of the forward pass it was part of."""

    queue: float = 0.0
    compute: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class RowResult:
    """Answer to a row.

    Attributes:
        logits: float32 (K,).
        features: float32 (F,), what the head read.
        flops_spent: executed for this row; what several rows share is divided among them.
        flops_saved: what pruning saved: against the same task at its initial widths.
        flops_shared: what sharing saved: spent + shared is what the row costs alone.
        timing: filled in by the batcher.
    """

    logits: np.ndarray
    features: np.ndarray
    flops_spent: int
    flops_saved: int
    flops_shared: int
    timing: Timing = Timing()


class Engine:
    """Many resident tasks over one frozen backbone.

    All that changes is the bank, so every method may be called from any thread while a batch is computed in another;
    batches are computed one at a time.
    """

    def __init__(self, backbone: Backbone, runtime: Runtime | None = None, *, budgets: Budgets | None = None) -> None:
        """Nothing is resident at first.

        Args:
            backbone: float32, on the CPU.
            runtime: computes the batches; PyTorch on the CPU where None.
            budgets: most bytes of adapters in each tier of memory; the defaults of `Budgets` where None.
        """
        self.backbone, self._runtime = backbone, runtime or TorchRuntime(backbone)
        self._computing = Lock()  # an upload is verified while the worker computes; a device takes one batch at a time
        self._residency = Residency(budgets)
        # What no runtime shares is not counted as shared: its trunk costs each row as much as it does alone.
        self._trunk = trunk_flops(backbone) if self._runtime.shares_trunk else [0] * (len(backbone.sites) + 1)

    def find(self, sha256: str) -> Resident | None:
        """The content if it is on the device; never slow."""
        return self._residency.get(sha256)

    def peek(self, sha256: str) -> Resident | None:
        """As `find`, but not counted as a use."""
        return self._residency.peek(sha256)

    def restore(self, sha256: str) -> Resident | None:
        """The content if it is in memory, brought to the device if need be."""
        if (found := self.peek(sha256)) is not None:
            return found
        resident = self._residency.restore(sha256)
        if resident is not None:
            self._runtime.prepare(resident)
        return resident

    def admit(self, adapter: TaskAdapter, sha256: str) -> Resident:
        """Make a task adapter resident; the one already there is returned where the content is not new.

        Raises:
            AdmissionError: it was made for another backbone or preprocessing, or its shapes do not fit.
        """
        if (found := self.peek(sha256)) is not None:
            return found
        resident = self._residency.put(place(self._load(adapter, sha256)))
        self._runtime.prepare(resident)
        return resident

    def offer(self, adapter: TaskAdapter, sha256: str) -> tuple[Resident, bool]:
        """Admit a task adapter as far as there is room, so that nothing goes for it.

        Returns:
            Its weights, and whether they are kept in memory.

        Raises:
            AdmissionError: as `admit`.
        """
        resident, kept = self._residency.offer(self._load(adapter, sha256))
        if kept:
            self._runtime.prepare(resident)
        return resident, kept

    def verify(self, adapter: TaskAdapter) -> GoldenCheck:
        """Recompute the golden sample of an adapter, without making it resident.

        Raises:
            AdmissionError: as `admit`.
            GoldenError: the answer is not the promised one.
        """
        resident = place(self._load(adapter, ""))
        return golden.verify(
            self.backbone,
            adapter,
            resident=resident,
            answer=lambda pixels: self.run([Row(resident, pixels)])[0].logits,
        )

    def evict(self, sha256: str) -> int:
        """Let go of a task adapter; returns its bytes (0: not resident). Rows in flight keep its weights."""
        return self._residency.evict(sha256)

    def pin(self, hashes: Collection[str]) -> None:
        """Let these contents, and no others, stay on the device once they are there, whatever the budget."""
        self._residency.pin(hashes)

    def usage(self) -> Usage:
        """Tasks and bytes resident now."""
        return self._residency.usage()

    def tiers(self) -> Mapping[str, TierUsage]:
        """What each tier of memory holds and did, by its name."""
        return self._residency.tiers()

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        """Answer rows of any mix of tasks in one forward pass, in the order given.

        The bare trunk under rows of the same image is computed once, however the image came, if the runtime shares
        trunks; a row that is there twice is computed once by any.

        Raises:
            ValueError: pixels of another shape or dtype than the backbone reads, or no row at all.
        """
        residents, images = [row.resident for row in rows], number([row.pixels for row in rows])
        batch = plan(residents, images)
        staged = self._stage([rows[index] for index in batch.images])
        with self._computing:
            groups = self._runtime.forward(staged, batch)
        answers = [pair for logits, features in groups for pair in zip(logits.numpy(), features.numpy(), strict=True)]
        spent = spent_by(residents, images, self._trunk)
        places = zip(rows, batch.places, spent, strict=True)
        return [_result(row.resident.cost, answers[place], flops) for row, place, flops in places]

    def _stage(self, rows: Sequence[Row]) -> Tensor:
        return stage(self.backbone.preprocessing, [row.pixels for row in rows])

    def _load(self, adapter: TaskAdapter, sha256: str) -> Packed:
        admission.check(self.backbone, adapter)
        manifest = adapter.manifest
        cost = cost_of(
            self.backbone,
            manifest.widths,
            initial_widths=manifest.provenance.initial_widths,
            classes=len(manifest.labels),
        )
        return pack_file(adapter, sha256, cost if self._runtime.shares_trunk else replace(cost, trunk=0))


def _result(alone: Cost, answer: tuple[np.ndarray, np.ndarray], spent: int) -> RowResult:
    return RowResult(*answer, flops_spent=spent, flops_saved=alone.saved, flops_shared=alone.spent - spent)
