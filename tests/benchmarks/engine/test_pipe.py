"""A worker reports times and answers, and the parent notices every failure of a worker."""

import numpy as np
import pytest

from benchmarks.engine import pipe
from benchmarks.engine.pipe import WorkerAbsent, WorkerError
from tests.benchmarks.engine.conftest import Start
from tests.benchmarks.engine.fake_systems import RIGHT


def test_a_worker_tells_times_answers_memory_and_facts(start: Start) -> None:
    worker = start("right")
    assert {"features", "noisy"} <= set(worker.calls)
    assert worker.facts == {"threads": "1"}
    assert all(0 <= seconds < 10 for seconds in worker.time("features", warm=2))
    np.testing.assert_array_equal(worker.answer("features"), RIGHT)
    assert worker.tell("tell") == {"seconds": [1.0]}
    memory = worker.memory()
    assert memory["peak_bytes"] >= memory["resident_bytes"] > 0


def test_what_libraries_print_does_not_reach_the_pipe(start: Start) -> None:
    worker = start("right")
    np.testing.assert_array_equal(worker.answer("noisy"), RIGHT)
    assert worker.time("noisy")[0] >= 0


def test_a_missing_library_is_an_absence_and_is_named(start: Start) -> None:
    with pytest.raises(WorkerAbsent, match="nothing_of_this_name_is_installed is not installed"):
        start("missing")


def test_one_that_cannot_be_built_is_an_error_and_no_absence(start: Start) -> None:
    with pytest.raises(WorkerError, match="cannot be built") as raised:
        start("broken")
    assert not isinstance(raised.value, WorkerAbsent)


def test_a_call_that_fails_harms_no_other(start: Start) -> None:
    worker = start("right")
    with pytest.raises(WorkerError, match="ZeroDivisionError"):
        worker.time("fail")
    np.testing.assert_array_equal(worker.answer("features"), RIGHT)


def test_a_death_is_noticed(start: Start) -> None:
    worker = start("right")
    with pytest.raises(WorkerError, match="ended"):
        worker.time("die")


def test_one_that_hangs_is_given_up(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = start("right")
    monkeypatch.setattr(pipe, "CALL_SECONDS", 0.2)
    with pytest.raises(WorkerError, match="said nothing"):
        worker.time("hang")
