"""The output for a person: a bar on a terminal, otherwise a line for each epoch."""

import io
from dataclasses import replace
from pathlib import Path

import pytest

from training.cycles import CycleResult
from training.fit import Progress
from training.jsonl import read_rows
from training.progress import Console, Position, ProgressFile, Several

HALF = Progress(done=50, total=100, loss=1.25, accuracy=0.5, rate=5e-3)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_every_step_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    Console(stream).step(Position(0, 3, 1, 4), HALF)
    assert stream.getvalue().startswith("\r")
    assert (
        "cycle 1/3 epoch 2/4 [############............] loss 1.250 accuracy 0.500 rate 5.0e-03 left"
        in stream.getvalue()
    )


@pytest.mark.parametrize("columns", [20, 60, 72, 80, 100])
def test_a_bar_never_wraps(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Terminal()
    Console(stream).step(Position(9, 10, 99, 100), HALF)
    line = stream.getvalue().removeprefix("\r\x1b[K")
    assert 0 < len(line) < columns
    assert ("[###" in line) == (columns == 100)


def test_the_search_for_a_rate_is_part_of_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rates of one cycle each, then three more cycles at the best: six cycles of two epochs."""
    clock = iter([0.0, 10.0, 50.0])
    monkeypatch.setattr("training.progress.time.monotonic", lambda: next(clock))
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    console = Console(stream)
    console.step(Position(0, 4, 0, 2, 1e-3, searched=0, rates=3), replace(HALF, done=0))
    console.step(Position(0, 4, 1, 2, 1e-3, searched=0, rates=3), replace(HALF, done=0))
    assert stream.getvalue().endswith("left 1:50")
    console.step(Position(1, 4, 0, 2, 5e-3, searched=2, rates=3), replace(HALF, done=0))  # five epochs of twelve more
    assert stream.getvalue().endswith("left 0:50")


def test_a_file_sees_a_line_an_epoch() -> None:
    stream = io.StringIO()
    console = Console(stream)
    console.step(Position(0, 1, 0, 1), HALF)
    assert stream.getvalue() == ""
    console.epoch(Position(0, 1, 0, 1), HALF, 0.75)
    assert stream.getvalue().endswith("validation 0.7500\n")


def test_the_time_left_counts_only_what_this_process_did(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 110.0])
    monkeypatch.setattr("training.progress.time.monotonic", lambda: next(clock))
    stream = Terminal()
    console = Console(stream)
    console.step(Position(1, 2, 0, 2), replace(HALF, done=0))
    assert stream.getvalue().endswith("left -:--")
    console.step(Position(1, 2, 0, 2), HALF)  # half an epoch in ten seconds, one and a half to go
    assert stream.getvalue().endswith("left 0:30")


def test_a_cycle_is_one_line() -> None:
    stream = io.StringIO()
    Console(stream).cycle(CycleResult(2, (0, 3), 100, 10, 1, 1, 0.1, 0.5))
    assert stream.getvalue().startswith("cycle 3: 3 neurons at 1 sites, 100 adapter parameters, validation 0.5000")


class Notes:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def step(self, place: Position, progress: Progress) -> None:
        self.told.append(("step", place, progress))

    def epoch(self, place: Position, progress: Progress, validation: float | None) -> None:
        self.told.append(("epoch", place, progress, validation))

    def cycle(self, report: CycleResult) -> None:
        self.told.append(("cycle", report))

    def say(self, text: str) -> None:
        self.told.append(("say", text))


def test_several_reporters_are_told_the_same() -> None:
    first, second = Notes(), Notes()
    several, place, report = (
        Several((first, second)),
        Position(0, 1, 0, 1),
        CycleResult(2, (0, 3), 100, 10, 1, 1, 0.1, 0.5),
    )
    several.step(place, HALF)
    several.epoch(place, HALF, 0.5)
    several.cycle(report)
    several.say("done")
    assert first.told == second.told
    assert first.told == [("step", place, HALF), ("epoch", place, HALF, 0.5), ("cycle", report), ("say", "done")]


def test_a_progress_file_has_a_line_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 11.0, 12.0, 100.0])
    monkeypatch.setattr("training.progress.time.monotonic", lambda: next(clock))
    log = ProgressFile(tmp_path / "new" / "progress.jsonl", {"method": "mimi"})
    for _ in range(3):  # three steps that end a second apart: three seconds
        log.step(Position(0, 1, 0, 2, 0.5), HALF)
    log.epoch(Position(0, 1, 0, 2, 0.5), HALF, 0.75)
    log.say("text")
    log.cycle(CycleResult(2, (0, 3), 100, 10, 1, 1, 0.1, 0.5))
    log.step(Position(0, 1, 1, 2), HALF)
    log.epoch(Position(0, 1, 1, 2), HALF, None)
    first, second = read_rows(log.path)
    assert first == {
        "rate": 0.5, "cycle": 0, "epoch": 0, "before": 0, "loss": 1.25, "accuracy": 0.5, "validation": 0.75,
        "seconds": 3.0,
        "method": "mimi",
    }  # fmt: skip
    assert (second["epoch"], second["validation"], second["seconds"]) == (1, None, 0.0)


def test_what_is_known_of_a_run_stands_above_what_its_epochs_say(tmp_path: Path) -> None:
    log = ProgressFile(tmp_path / "progress.jsonl", {"rate": 0.25})
    log.epoch(Position(0, 1, 0, 1), HALF, 0.5)
    assert read_rows(log.path)[0]["rate"] == 0.25
