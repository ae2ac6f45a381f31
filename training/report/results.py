"""The rows of comparisons, read from JSON lines: those of `training.compare`, and those of the studies before it.

Earlier lines have other names for two methods, no digests, and fewer figures. Missing figures are None.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.jsonl import Row, read_rows
from training.report.errors import UnreadableResult

_RENAMED = {"linear": "linear-probe", "vanilla": "adapters-sigma32"}
_EARLIER_SIGMA = 32.0  # at which every earlier study began


@dataclass(frozen=True, slots=True, order=True)
class Arena:
    """The key of comparable results: one data set, with one set of training settings.

    Attributes:
        dataset: its name.
        per_class: training images of a class at most; 0: all.
        cycle_epochs: E, of one cycle.
        purpose: "runs" or "study".
        digest: of all settings; empty in earlier lines.
    """

    dataset: str
    per_class: int
    cycle_epochs: int
    purpose: str
    digest: str

    @property
    def title(self) -> str:
        """In words, without the digest."""
        images = f"{self.per_class} images a class" if self.per_class else "all images"
        return f"{self.dataset}, {images}, {self.cycle_epochs} epochs a cycle ({self.purpose})"


@dataclass(frozen=True, slots=True)
class Result:
    """One finished figure.

    Attributes:
        cycle: after which it was taken, from 0.
        epochs: of training until then; 0 for a method that is solved to convergence.
        validation: top-1 in [0, 1]; None if all images were trained on.
        test: top-1 in [0, 1]; None if the data set has no test split.
        own_params: trained beside the head.
        gflops: of one image, everything counted.
        gflops_paper: of one image as the paper counts.
        shared_gflops: of one image before the first site that differs from the bare backbone.
        sigma: compression 4 M / N over all sites together.
        widths: neurons of every site.
        file_bytes: of the task adapter file.
        seconds: of training.
        paper_params: trained, with a head of 345 classes, as the paper counts.
        paper_percent: of the whole network with that head.
        backbone: its name; empty in earlier lines.
        group: data sets of one group are averaged; empty if the set stands alone.
    """

    arena: Arena
    method: str
    seed: int
    cycle: int
    epochs: int
    validation: float | None
    test: float | None
    own_params: int
    head_params: int
    gflops: float
    gflops_paper: float | None = None
    shared_gflops: float | None = None
    learning_rate: float | None = None
    sigma: float | None = None
    widths: tuple[int, ...] | None = None
    file_bytes: int | None = None
    seconds: float | None = None
    paper_params: int | None = None
    paper_percent: float | None = None
    backbone: str = ""
    group: str = ""

    @property
    def neurons(self) -> int | None:
        """Of all sites together, where the method has any."""
        return sum(self.widths) if self.widths else None

    @property
    def trained_params(self) -> int:
        """Head included."""
        return self.own_params + self.head_params


def read_results(paths: Iterable[Path]) -> list[Result]:
    """The figures of all files, each once: the last of several lines about the same counts.

    Raises:
        UnreadableResult: a line is no row, or a file is not there.
    """
    found: dict[tuple[Arena, str, int, int], Result] = {}
    for path in paths:
        for result in _read(path):
            found[result.arena, result.method, result.seed, result.cycle] = result
    return _with_sigma(list(found.values()))


def _read(path: Path) -> list[Result]:
    if not path.is_file():
        raise UnreadableResult(f"{path}: no such file")
    try:
        rows = read_rows(path)
    except ValueError as error:
        raise UnreadableResult(str(error)) from error
    return [_result(row, f"{path}, row {number}") for number, row in enumerate(rows, 1)]


def _result(row: Row, where: str) -> Result:
    try:
        return Result(
            arena=_arena(row),
            method=_name(row),
            validation=None if row["val_top1"] is None else float(row["val_top1"]),
            test=row["test_top1"],
            own_params=row["adapter_params"],
            widths=tuple(row["widths"]) if row.get("widths") else None,
            **{key: row[key] for key in ("seed", "cycle", "epochs", "head_params", "gflops")},
            **_where_known(row),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableResult(f"{where}: no figure of a comparison: {error!r}") from error


def _name(row: Row) -> str:
    """The method's name today. Earlier lines, which have no digest, use other names for two methods."""
    name = str(row["method"])
    return name if row.get("arena") else _RENAMED.get(name, name)


def _where_known(row: Row) -> dict[str, Any]:
    keys = ("gflops_paper", "shared_gflops", "learning_rate", "sigma", "file_bytes", "seconds")
    named = {key: str(row.get(key, "")) for key in ("backbone", "group")}
    return {key: row.get(key) for key in (*keys, "paper_params", "paper_percent")} | named


def _arena(row: Row) -> Arena:
    return Arena(
        dataset=str(row["dataset"]),
        per_class=int(row.get("per_class", 0)),
        cycle_epochs=int(row["cycle_epochs"]),
        purpose=str(row.get("purpose", "runs")),
        digest=str(row.get("arena", "")),
    )


def _with_sigma(results: Sequence[Result]) -> list[Result]:
    """Earlier lines with their compression: σ0 times the neurons at first over those left."""
    most: dict[Arena, int] = {}
    for result in results:
        most[result.arena] = max(most.get(result.arena, 0), result.neurons or 0)
    return [
        replace(result, sigma=_EARLIER_SIGMA * most[result.arena] / result.neurons)
        if result.neurons and not result.arena.digest
        else result
        for result in results
    ]
