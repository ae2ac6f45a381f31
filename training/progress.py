"""Reports the progress of a run: as a bar on a terminal, as a line for each epoch, or as JSON lines in a file."""

import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TextIO

from training.cycles import CycleResult
from training.errors import DamagedRows
from training.fit import Progress
from training.jsonl import Row, add_rows, read_rows

PROGRESS = "progress.jsonl"  # name of the file, in the folder of a run
_BAR = 24  # characters
_SHORTEST = 4


@dataclass(frozen=True, slots=True)
class Position:
    """An epoch of a cycle, both counted from 0.

    Attributes:
        rate: peak learning rate of the run; it differs between the runs that search for the best rate.
        searched: learning rates whose first cycle was trained before this epoch, beside this one.
        rates: learning rates that are tried in all; each costs one cycle.
        lengths: epochs of every cycle; empty if all have as many as this one.
    """

    cycle: int
    cycles: int
    epoch: int
    epochs: int
    rate: float | None = None
    searched: int = 0
    rates: int = 1
    lengths: tuple[int, ...] = ()

    @property
    def before(self) -> int:
        """Epochs of the run before this one."""
        return sum(self._lengths[: self.cycle]) + self.epoch

    @property
    def done(self) -> int:
        """Epochs before this one, those of the search for a learning rate among them."""
        return self.searched * self._lengths[0] + self.before

    @property
    def total(self) -> int:
        """Epochs of the run and of the search."""
        return (self.rates - 1) * self._lengths[0] + sum(self._lengths)

    @property
    def _lengths(self) -> tuple[int, ...]:
        return self.lengths or (self.epochs,) * self.cycles


class Reporter(Protocol):
    """Receives the progress of a run; an implementation may ignore any call."""

    def step(self, position: Position, progress: Progress) -> None:
        """After every optimiser step."""

    def epoch(self, position: Position, progress: Progress, validation: float | None) -> None:
        """After every epoch, with its validation top-1 if it was measured."""

    def cycle(self, result: CycleResult) -> None:
        """After every cycle, before it is pruned."""

    def say(self, text: str) -> None:
        """Print other text for a person."""


@dataclass(slots=True)
class Silent:
    """A reporter that says nothing."""

    def step(self, position: Position, progress: Progress) -> None:
        """Nothing."""

    def epoch(self, position: Position, progress: Progress, validation: float | None) -> None:
        """Nothing."""

    def cycle(self, result: CycleResult) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Several:
    """Several reporters as one: each receives every call, in order."""

    reporters: tuple[Reporter, ...]

    def step(self, position: Position, progress: Progress) -> None:
        """Pass it on."""
        for reporter in self.reporters:
            reporter.step(position, progress)

    def epoch(self, position: Position, progress: Progress, validation: float | None) -> None:
        """Pass it on."""
        for reporter in self.reporters:
            reporter.epoch(position, progress, validation)

    def cycle(self, result: CycleResult) -> None:
        """Pass it on."""
        for reporter in self.reporters:
            reporter.cycle(result)

    def say(self, text: str) -> None:
        """Pass it on."""
        for reporter in self.reporters:
            reporter.say(text)


@dataclass(slots=True)
class ProgressFile:
    """One JSON line an epoch: loss, accuracies in [0, 1], and the seconds its training took, validation apart.

    Attributes:
        path: of the file that lines are added to.
        facts: further values of every line, which say to which run it belongs.
    """

    path: Path
    facts: Mapping[str, object] = field(default_factory=dict)
    _steps: list[float] = field(default_factory=list)  # seconds at the end of every step of the epoch

    def step(self, position: Position, progress: Progress) -> None:
        """Note the time."""
        self._steps.append(time.monotonic())

    def epoch(self, position: Position, progress: Progress, validation: float | None) -> None:
        """Add the line."""
        line = {
            "rate": position.rate,
            "cycle": position.cycle,
            "epoch": position.epoch,
            "before": position.before,
            "loss": progress.loss,
            "accuracy": progress.accuracy,
            "validation": validation,
            "seconds": self._seconds(),
            **self.facts,
        }
        self._steps.clear()
        add_rows(self.path, [line])

    def cycle(self, result: CycleResult) -> None:
        """Nothing: the task adapter files hold these figures."""

    def say(self, text: str) -> None:
        """Nothing."""

    def _seconds(self) -> float:
        """Seconds of the epoch, estimated from the ends of its steps: the start of the first step is not reported."""
        steps = self._steps
        return (steps[-1] - steps[0]) * len(steps) / (len(steps) - 1) if len(steps) > 1 else 0.0


def progress_rows(path: Path) -> list[Row]:
    """The lines of a progress file; none if there is no file.

    Raises:
        DamagedRows: a line is not one of a `ProgressFile`.
    """
    rows = read_rows(path)
    for number, row in enumerate(rows, 1):
        if missing := {"rate", "cycle", "epoch", "validation"} - row.keys():
            raise DamagedRows(f"{path}, row {number}: no {', '.join(sorted(missing))} in it")
    return rows


@dataclass(slots=True)
class Console:
    """Bars with loss, accuracy, learning rate and the time left in the run."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    _begun: tuple[float, float] | None = None  # epochs done and seconds at the first step seen

    def step(self, position: Position, progress: Progress) -> None:
        """Redraw the bar, on a terminal."""
        if self.stream.isatty():
            self.stream.write("\r\x1b[K" + self._bar(position, progress, shutil.get_terminal_size().columns))
            self.stream.flush()

    def epoch(self, position: Position, progress: Progress, validation: float | None) -> None:
        """Replace the bar by a line with the validation accuracy."""
        start = "\r\x1b[K" if self.stream.isatty() else ""
        measured = "" if validation is None else f"  validation {validation:.4f}"
        self.say(f"{start}{' '.join(self._texts(position, progress))}{measured}")

    def cycle(self, result: CycleResult) -> None:
        """One line on the size just trained."""
        self.say(
            f"cycle {result.cycle + 1}: {result.neurons} neurons at {len(result.live_sites)} sites, "
            f"{result.adapter_parameters:,} adapter parameters, validation {result.validation:.4f}, "
            f"rank correlation with initialisation {result.rank_correlation:.2f}"
        )

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=self.stream, flush=True)

    def _bar(self, position: Position, progress: Progress, columns: int) -> str:
        """One line that fits a terminal of `columns`: a narrow one has a shorter bar, or none."""
        begin, end = self._texts(position, progress)
        width = min(_BAR, columns - len(begin) - len(end) - 5)  # two brackets, two spaces, and the last column is free
        if width < _SHORTEST:
            return f"{begin} {end}"[: columns - 1]
        bar = ("#" * round(width * progress.done / progress.total)).ljust(width, ".")
        return f"{begin} [{bar}] {end}"

    def _texts(self, position: Position, progress: Progress) -> tuple[str, str]:
        """Before and behind the bar."""
        return (
            f"cycle {position.cycle + 1}/{position.cycles} epoch {position.epoch + 1}/{position.epochs}",
            f"loss {progress.loss:.3f} accuracy {progress.accuracy:.3f} rate {progress.rate:.1e} "
            f"left {self._left(position, progress.done / progress.total)}",
        )

    def _left(self, position: Position, share: float) -> str:
        """Time left in the search for a rate and all cycles, by the pace since this process began."""
        done, now = position.done + share, time.monotonic()
        if self._begun is None:
            self._begun = (done, now)
        begun, since = self._begun
        if done <= begun:
            return "-:--"
        seconds = (now - since) / (done - begun) * (position.total - done)
        return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
