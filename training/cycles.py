"""The figures of every size that a run has trained, and their table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from adapters_store import TaskAdapter

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CycleResult:
    """One trained size.

    Attributes:
        cycle: number from 0, shown from 1; the number of trainings for a size that was pruned without training.
        widths: N_i for all sites.
        adapter_parameters: of all adapters.
        head_parameters: of the head.
        flops: of the whole forward for one image.
        size: bytes of the task adapter file.
        rank_correlation: Spearman's, between the scores and the scores of the same neurons at initialisation.
        validation: top-1 accuracy (or mAP) in [0, 1]; NaN if all images are trained on.
        test: top-1 accuracy (or mAP) in [0, 1]; None until the run is finished, or if there is no test split.
    """

    cycle: int
    widths: tuple[int, ...]
    adapter_parameters: int
    head_parameters: int
    flops: int
    size: int
    rank_correlation: float
    validation: float
    test: float | None = None

    @property
    def neurons(self) -> int:
        """Neurons of all sites together."""
        return sum(self.widths)

    @property
    def live_sites(self) -> tuple[int, ...]:
        """Sites with at least one neuron."""
        return tuple(site for site, width in enumerate(self.widths) if width)

    @property
    def first_live_site(self) -> int | None:
        """The first live site; everything before it is the trunk that tasks share. None if no site is live."""
        return next(iter(self.live_sites), None)


def result_of(adapter: TaskAdapter, cycle: int, size: int) -> CycleResult:
    """The figures of a task adapter file; its metrics hold validation and rank correlation."""
    provenance = adapter.manifest.provenance
    return CycleResult(
        cycle=cycle,
        widths=adapter.manifest.widths,
        adapter_parameters=provenance.adapter_parameters,
        head_parameters=provenance.head_parameters,
        flops=provenance.flops,
        size=size,
        rank_correlation=provenance.metrics.get("rank_correlation", float("nan")),
        validation=_either(provenance.metrics, "validation", float("nan")),
        test=_either(provenance.metrics, "test", None),
    )


def _either(metrics: Mapping[str, float], split: str, missing: T) -> float | T:
    """Top-1 accuracy, or mAP of a task of independent labels."""
    return metrics.get(f"{split}_top1", metrics.get(f"{split}_map", missing))


_HEADER = (
    "cycle", "neurons", "live sites", "first live", "adapter params", "head params", "MFLOPs", "bytes", "rank corr.",
    "validation", "test",
)  # fmt: skip


def results_table(rows: Sequence[CycleResult]) -> str:
    """The final table, as Markdown."""
    lines = [_HEADER, tuple("---:" for _ in _HEADER), *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADER))]
    return "\n".join(
        "| " + " | ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _cells(row: CycleResult) -> tuple[str, ...]:
    first = row.first_live_site
    return (
        str(row.cycle + 1),
        str(row.neurons),
        str(len(row.live_sites)),
        "-" if first is None else str(first),
        f"{row.adapter_parameters:,}",
        f"{row.head_parameters:,}",
        f"{row.flops / 1e6:.2f}",
        f"{row.size:,}",
        f"{row.rank_correlation:.2f}",
        f"{row.validation:.4f}",
        "-" if row.test is None else f"{row.test:.4f}",
    )
