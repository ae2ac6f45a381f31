"""What a person sees: a bar on a terminal, a line an epoch elsewhere."""

import io
from dataclasses import replace

import pytest

from training.fit import Progress
from training.progress import Console, Place
from training.reports import CycleReport

HALF = Progress(done=50, total=100, loss=1.25, accuracy=0.5, rate=5e-3)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_every_step_on_one_line() -> None:
    stream = Terminal()
    Console(stream).step(Place(0, 3, 1, 4), HALF)
    assert stream.getvalue().startswith("\r")
    assert (
        "cycle 1/3 epoch 2/4 [############............] loss 1.250 accuracy 0.500 rate 5.0e-03 left"
        in stream.getvalue()
    )


def test_a_file_sees_a_line_an_epoch() -> None:
    stream = io.StringIO()
    console = Console(stream)
    console.step(Place(0, 1, 0, 1), HALF)
    assert stream.getvalue() == ""
    console.epoch(Place(0, 1, 0, 1), HALF, 0.75)
    assert stream.getvalue().endswith("validation 0.7500\n")


def test_the_time_left_counts_only_what_this_process_did(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 110.0])
    monkeypatch.setattr("training.progress.time.monotonic", lambda: next(clock))
    stream = Terminal()
    console = Console(stream)
    console.step(Place(1, 2, 0, 2), replace(HALF, done=0))
    assert stream.getvalue().endswith("left -:--")
    console.step(Place(1, 2, 0, 2), HALF)  # half an epoch in ten seconds, one and a half to go
    assert stream.getvalue().endswith("left 0:30")


def test_a_cycle_is_one_line() -> None:
    stream = io.StringIO()
    Console(stream).cycle(CycleReport(2, (0, 3), 100, 10, 1, 1, 0.1, 0.5))
    assert stream.getvalue().startswith("cycle 2: 3 neurons at 1 sites, 100 adapter parameters, validation 0.5000")
