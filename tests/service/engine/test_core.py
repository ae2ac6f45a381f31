"""The engine checks what it computes on, and its bank may change while it computes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from adapters_store import TaskAdapter
from service.engine import Engine, Resident, Row, Usage
from tests.service.adapters import make
from tests.service.engine.gate import PATIENCE, Gate, Picture


def test_a_result_has_one_logit_for_each_class_in_float32(
    engine: Engine, residents: list[Resident], pixels: Picture
) -> None:
    results = engine.run([Row(resident, pixels(0)) for resident in residents])
    assert [result.logits.shape for result in results] == [(2 + 3 * task,) for task in range(len(residents))]
    assert {result.logits.dtype for result in results} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((32, 64, 3), np.uint8),
        np.zeros((64, 64, 3), np.float32),
    ],
    ids=["no channels", "four channels", "small", "float"],
)
def test_pixels_of_another_shape_or_dtype_are_refused(
    engine: Engine, residents: list[Resident], bad: np.ndarray
) -> None:
    with pytest.raises(ValueError, match="pixels must be uint8"):
        engine.run([Row(residents[0], bad)])


def test_admitting_the_same_content_again_gives_the_same_resident(
    engine: Engine, residents: list[Resident], adapters: list[TaskAdapter]
) -> None:
    assert engine.admit(adapters[0], residents[0].sha256) is residents[0]
    assert engine.usage().tasks == len(residents)


def test_a_task_evicted_in_flight_is_answered_by_its_own_weights(
    engine: Engine, adapters: list[TaskAdapter], pixels: Picture, gate: Gate
) -> None:
    rows = [Row(engine.admit(adapters[0], "a"), pixels(0))]
    expected = engine.run(rows)[0].logits
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(gate.run, rows)
        assert gate.reached.acquire(timeout=PATIENCE)
        assert engine.evict("a") > 0
        engine.admit(adapters[1], "b")  # takes memory that a freed adapter would have left
        assert engine.usage().lingering == 1
        gate.opened.set()
        assert np.array_equal(running.result(PATIENCE)[0].logits, expected)
    del rows, running
    gate.batches.clear()
    assert engine.usage() == Usage(1, 4 * _parameters(adapters[1]), 0, 0)


def _parameters(adapter: TaskAdapter) -> int:
    return adapter.manifest.provenance.adapter_parameters + adapter.manifest.provenance.head_parameters


def test_answers_stay_right_while_another_thread_evicts_and_admits(
    engine: Engine, adapters: list[TaskAdapter], pixels: Picture
) -> None:
    def rows() -> list[Row]:
        return [Row(engine.admit(adapter, str(task)), pixels(task)) for task, adapter in enumerate(adapters)]

    def churn() -> None:
        for task in [0, 1, 2] * 20:
            engine.evict(str(task))
            engine.admit(adapters[task], str(task))

    expected = engine.run(rows())
    with ThreadPoolExecutor(1) as pool:
        churning = pool.submit(churn)
        answered = [engine.run(rows())]
        while not churning.done():
            answered.append(engine.run(rows()))
    churning.result()
    for results in answered:
        for result, reference in zip(results, expected, strict=True):
            assert np.array_equal(result.logits, reference.logits)


def test_unknown_scores_are_the_same_in_any_mix_of_tasks(engine: Engine, pixels: Picture) -> None:
    made = [make(80, activation="softmax"), make(81), make(82, classes=7, activation="sigmoid")]
    residents = [engine.admit(each.adapter, each.sha256) for each in made]
    rows = [Row(resident, pixels(seed)) for seed in range(3) for resident in residents]
    together = [result.unknown for result in engine.run(rows)]
    alone = [engine.run([row])[0].unknown for row in rows]
    assert [score is None for score in together] == [False, True, False] * 3
    for one, other in zip(together, alone, strict=True):
        assert one == (None if other is None else pytest.approx(other, rel=1e-3))
    for each in made:
        engine.evict(each.sha256)
