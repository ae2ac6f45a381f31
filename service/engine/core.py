"""The engine: task adapters in, answers to mixed batches out. Owns no thread, knows no queue and no task names."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from adapters_store import TaskAdapter
from backbone import Backbone
from service.engine import admission, golden
from service.engine.accounting import cost_of
from service.engine.bank import Bank, Resident, Usage, load
from service.engine.forward import forward, plan
from service.engine.golden import GoldenCheck


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One image for one task: `pixels` is uint8 (H, W, 3), as the backbone's preprocessing gives it."""

    resident: Resident
    pixels: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class RowResult:
    """Answer to a row: `logits` float32 (K,), FLOPs executed for it, FLOPs that pruning saved on it."""

    logits: np.ndarray
    flops_spent: int
    flops_saved: int


class Engine:
    """Many resident tasks over one frozen backbone, in float32 on the CPU.

    All that changes is the bank, so every method may be called from any thread while a batch is computed in another.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self._bank = Bank()

    def admit(self, adapter: TaskAdapter, sha256: str) -> Resident:
        """Make a task adapter resident; the one already there is returned where the content is not new.

        Raises:
            AdmissionError: it was made for another backbone or preprocessing, or its shapes do not fit.
        """
        return self._bank.get(sha256) or self._bank.put(self._load(adapter, sha256))

    def verify(self, adapter: TaskAdapter) -> GoldenCheck:
        """Recompute the golden sample of an adapter, without making it resident.

        Raises:
            AdmissionError: as `admit`.
            GoldenError: the answer is not the promised one.
        """
        resident = self._load(adapter, "")
        return golden.verify(
            self.backbone,
            adapter,
            resident=resident,
            answer=lambda pixels: self.run([Row(resident, pixels)])[0].logits,
        )

    def evict(self, sha256: str) -> int:
        """Let go of a task adapter; returns its bytes (0: not resident). Rows in flight keep its weights."""
        return self._bank.evict(sha256)

    def usage(self) -> Usage:
        """Tasks and bytes resident now."""
        return self._bank.usage()

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        """Answer rows of any mix of tasks in one forward pass, in the order given.

        Raises:
            ValueError: pixels of another shape or dtype than the backbone reads, or no row at all.
        """
        batch = plan([row.resident for row in rows])
        images = self._stage([rows[index].pixels for index in batch.order])
        groups = forward(self.backbone, images, batch)
        answers = dict(zip(batch.order, chain.from_iterable(logits.numpy() for logits in groups), strict=True))
        return [_result(row, answers[index]) for index, row in enumerate(rows)]

    def _stage(self, pixels: Sequence[np.ndarray]) -> Tensor:
        """Check and normalise: uint8 (H, W, 3) each -> float32 (B, 3, H, W)."""
        expected = (*self.backbone.preprocessing.size, 3)
        for image in pixels:
            if image.shape != expected or image.dtype != np.uint8:
                raise ValueError(f"pixels must be uint8 {expected}, not {image.dtype} {image.shape}")
        return self.backbone.preprocessing.normalize(torch.from_numpy(np.stack(pixels)))

    def _load(self, adapter: TaskAdapter, sha256: str) -> Resident:
        admission.check(self.backbone, adapter)
        manifest = adapter.manifest
        cost = cost_of(
            self.backbone,
            manifest.widths,
            initial_widths=manifest.provenance.initial_widths,
            classes=len(manifest.labels),
        )
        return load(adapter, sha256, cost)


def _result(row: Row, logits: np.ndarray) -> RowResult:
    return RowResult(logits, row.resident.cost.spent, row.resident.cost.saved)
