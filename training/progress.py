"""Telling how a run goes: to a person as a bar on a terminal or one line an epoch, to a file as JSON lines."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TextIO

from training.cycles import CycleResult
from training.fit import Progress
from training.jsonl import add_rows

PROGRESS = "progress.jsonl"  # name of the file, in the folder of a run
_BAR = 24  # characters


@dataclass(frozen=True, slots=True)
class Position:
    """Which epoch of which cycle, both from 0.

    Attributes:
        rate: peak learning rate of the run; tells the runs apart that are tried for the best rate.
    """

    cycle: int
    cycles: int
    epoch: int
    epochs: int
    rate: float | None = None


class Reporter(Protocol):
    """What a run calls; an implementation may ignore any of it."""

    def step(self, place: Position, progress: Progress) -> None:
        """After every optimiser step."""

    def epoch(self, place: Position, progress: Progress, validation: float | None) -> None:
        """After every epoch, with its validation top-1 where it was measured."""

    def cycle(self, result: CycleResult) -> None:
        """After every cycle, before it is pruned."""

    def say(self, text: str) -> None:
        """Anything else a person should read."""


@dataclass(slots=True)
class Silent:
    """A reporter that says nothing."""

    def step(self, place: Position, progress: Progress) -> None:
        """Nothing."""

    def epoch(self, place: Position, progress: Progress, validation: float | None) -> None:
        """Nothing."""

    def cycle(self, result: CycleResult) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Several:
    """Reporters that are all told the same, in order."""

    reporters: tuple[Reporter, ...]

    def step(self, place: Position, progress: Progress) -> None:
        """Pass it on."""
        for reporter in self.reporters:
            reporter.step(place, progress)

    def epoch(self, place: Position, progress: Progress, validation: float | None) -> None:
        """Pass it on."""
        for reporter in self.reporters:
            reporter.epoch(place, progress, validation)

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
        facts: what every line says beside that: which run it is of.
    """

    path: Path
    facts: Mapping[str, object] = field(default_factory=dict)
    _steps: list[float] = field(default_factory=list)  # seconds at the end of every step of the epoch

    def step(self, place: Position, progress: Progress) -> None:
        """Note the time."""
        self._steps.append(time.monotonic())

    def epoch(self, place: Position, progress: Progress, validation: float | None) -> None:
        """Add the line."""
        line = {
            "rate": place.rate,
            "cycle": place.cycle,
            "epoch": place.epoch,
            "loss": progress.loss,
            "accuracy": progress.accuracy,
            "validation": validation,
            "seconds": self._seconds(),
            **self.facts,
        }
        self._steps.clear()
        add_rows(self.path, [line])

    def cycle(self, result: CycleResult) -> None:
        """Nothing: the task adapter files say it."""

    def say(self, text: str) -> None:
        """Nothing."""

    def _seconds(self) -> float:
        """By the pace between the ends of steps: nobody says when the first began."""
        steps = self._steps
        return (steps[-1] - steps[0]) * len(steps) / (len(steps) - 1) if len(steps) > 1 else 0.0


@dataclass(slots=True)
class Console:
    """Bars with loss, accuracy, learning rate and the time left in the run."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    _begun: tuple[float, float] | None = None  # epochs done and seconds at the first step seen

    def step(self, place: Position, progress: Progress) -> None:
        """Redraw the bar, on a terminal."""
        if self.stream.isatty():
            self.stream.write("\r\x1b[K" + self._line(place, progress))
            self.stream.flush()

    def epoch(self, place: Position, progress: Progress, validation: float | None) -> None:
        """End the bar's line with the validation accuracy."""
        start = "\r\x1b[K" if self.stream.isatty() else ""
        measured = "" if validation is None else f"  validation {validation:.4f}"
        self.say(f"{start}{self._line(place, progress)}{measured}")

    def cycle(self, result: CycleResult) -> None:
        """One line on the size just trained."""
        self.say(
            f"cycle {result.cycle}: {result.neurons} neurons at {len(result.live_sites)} sites, "
            f"{result.adapter_parameters:,} adapter parameters, validation {result.validation:.4f}, "
            f"rank correlation with initialisation {result.rank_correlation:.2f}"
        )

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=self.stream, flush=True)

    def _line(self, place: Position, progress: Progress) -> str:
        share = progress.done / progress.total
        bar = ("#" * round(_BAR * share)).ljust(_BAR, ".")
        return (
            f"cycle {place.cycle + 1}/{place.cycles} epoch {place.epoch + 1}/{place.epochs} [{bar}] "
            f"loss {progress.loss:.3f} accuracy {progress.accuracy:.3f} rate {progress.rate:.1e} "
            f"left {self._left(place, share)}"
        )

    def _left(self, place: Position, share: float) -> str:
        """Time left in all cycles, by the pace since this process began."""
        done, now = place.cycle * place.epochs + place.epoch + share, time.monotonic()
        if self._begun is None:
            self._begun = (done, now)
        begun, since = self._begun
        if done <= begun:
            return "-:--"
        seconds = (now - since) / (done - begun) * (place.cycles * place.epochs - done)
        return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
