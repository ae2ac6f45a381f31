"""Telling a person how a run goes: a bar on a terminal, one line an epoch elsewhere."""

import sys
import time
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from training.fit import Progress
from training.reports import CycleReport

_BAR = 24  # characters


@dataclass(frozen=True, slots=True)
class Place:
    """Which epoch of which cycle, both from 0."""

    cycle: int
    cycles: int
    epoch: int
    epochs: int


class Reporter(Protocol):
    """What a run calls; an implementation may ignore any of it."""

    def step(self, place: Place, progress: Progress) -> None:
        """After every optimiser step."""

    def epoch(self, place: Place, progress: Progress, validation: float | None) -> None:
        """After every epoch, with its validation top-1 where it was measured."""

    def cycle(self, report: CycleReport) -> None:
        """After every cycle, before it is pruned."""

    def say(self, text: str) -> None:
        """Anything else a person should read."""


@dataclass(slots=True)
class Silent:
    """A reporter that says nothing."""

    def step(self, place: Place, progress: Progress) -> None:
        """Nothing."""

    def epoch(self, place: Place, progress: Progress, validation: float | None) -> None:
        """Nothing."""

    def cycle(self, report: CycleReport) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""


@dataclass(slots=True)
class Console:
    """Bars with loss, accuracy, learning rate and the time left in the run."""

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    _begun: tuple[float, float] | None = None  # epochs done and seconds at the first step seen

    def step(self, place: Place, progress: Progress) -> None:
        """Redraw the bar, on a terminal."""
        if self.stream.isatty():
            self.stream.write("\r\x1b[K" + self._line(place, progress))
            self.stream.flush()

    def epoch(self, place: Place, progress: Progress, validation: float | None) -> None:
        """End the bar's line with the validation accuracy."""
        start = "\r\x1b[K" if self.stream.isatty() else ""
        measured = "" if validation is None else f"  validation {validation:.4f}"
        self.say(f"{start}{self._line(place, progress)}{measured}")

    def cycle(self, report: CycleReport) -> None:
        """One line on the size just trained."""
        self.say(
            f"cycle {report.cycle}: {report.neurons} neurons at {len(report.live_sites)} sites, "
            f"{report.adapter_parameters:,} adapter parameters, validation {report.validation:.4f}, "
            f"rank correlation with initialisation {report.rank_correlation:.2f}"
        )

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=self.stream, flush=True)

    def _line(self, place: Place, progress: Progress) -> str:
        share = progress.done / progress.total
        bar = ("#" * round(_BAR * share)).ljust(_BAR, ".")
        return (
            f"cycle {place.cycle + 1}/{place.cycles} epoch {place.epoch + 1}/{place.epochs} [{bar}] "
            f"loss {progress.loss:.3f} accuracy {progress.accuracy:.3f} rate {progress.rate:.1e} "
            f"left {self._left(place, share)}"
        )

    def _left(self, place: Place, share: float) -> str:
        """Time left in all cycles, by the pace since this process began."""
        done, now = place.cycle * place.epochs + place.epoch + share, time.monotonic()
        if self._begun is None:
            self._begun = (done, now)
        begun, since = self._begun
        if done <= begun:
            return "-:--"
        seconds = (now - since) / (done - begun) * (place.cycles * place.epochs - done)
        return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
