"""A task adapter must give its golden logits, by the reference forward, before it may answer anyone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapters_store import TaskAdapter
from backbone import Backbone
from backbone.kernels import build_missing, load, multiplies
from service.engine import Cost, Engine, GoldenCheck, GoldenMismatch, GoldenMoved, GoldenNotFinite, Usage
from service.engine.runtime import TorchRuntime
from service.engine.weights import moved, resident_of, verify


def off_by(adapter: TaskAdapter, share: float) -> TaskAdapter:
    """The golden logits moved by `share` of the tolerance."""
    golden = adapter.golden_logits
    tolerance = 1e-3 * max(1.0, float(np.abs(golden).max()))
    moved = golden - np.sign(golden) * share * tolerance
    return replace(adapter, golden_logits=moved.astype(np.float32))


def verified(engine: Engine, adapter: TaskAdapter) -> GoldenCheck:
    return engine.verify(adapter, engine.weights_of(adapter, "a"))


def test_every_good_adapter_passes_and_stays_out_of_the_bank(engine: Engine, adapters: list[TaskAdapter]) -> None:
    for adapter in adapters:
        check = verified(engine, adapter)
        assert check.reference <= check.tolerance
        assert check.engine <= 1e-5 * max(1.0, float(np.abs(adapter.golden_logits).max()))
    assert engine.usage() == Usage(0, 0, 0, 0)


def test_logits_just_inside_the_tolerance_pass_and_the_difference_is_reported(
    engine: Engine, adapters: list[TaskAdapter]
) -> None:
    check = verified(engine, off_by(adapters[0], 0.95))
    assert check.reference == pytest.approx(0.95 * check.tolerance, rel=0.02)
    assert check.engine == pytest.approx(check.reference, rel=0.02)


def test_logits_just_outside_the_tolerance_are_refused(engine: Engine, adapters: list[TaskAdapter]) -> None:
    with pytest.raises(GoldenMismatch, match="differ by"):
        verified(engine, off_by(adapters[0], 1.05))


def test_weights_that_overflow_are_refused(engine: Engine, adapters: list[TaskAdapter]) -> None:
    head = np.full_like(adapters[0].head_weight, np.float32(3e38))
    with pytest.raises(GoldenMismatch):
        verified(engine, replace(adapters[0], head_weight=head))


@pytest.mark.skipif(not multiplies("int8"), reason="needs a processor with AVX-512 VNNI")
def test_what_int8_moves_too_far_is_refused(
    backbone: Backbone, adapters: list[TaskAdapter], tmp_path: Path, engine: Engine
) -> None:
    build_missing(tmp_path)
    runtime = TorchRuntime(backbone)
    runtime.use(load(backbone, tmp_path, precision="int8"))
    lowered, adapter = Engine(backbone, runtime), adapters[0]
    resident = lowered.weights_of(adapter, "a")
    assert (engine.precision, lowered.precision) == ("fp32", "int8")
    for share in (-60, 60):  # of the tolerance of a thousandth; a twentieth is allowed
        with pytest.raises(GoldenMoved, match="in int8 golden logits move by"):
            lowered.judge(off_by(adapter, share), resident)
        engine.judge(off_by(adapter, share), resident)  # judged in int8 alone
    lowered.judge(adapter, resident)


def test_another_label_is_too_far() -> None:
    golden = np.array([1.0, 1.01, 0.0], np.float32)
    assert moved(golden, golden + np.float32(0.04)) is None
    assert moved(golden, np.array([1.02, 1.01, 0.0], np.float32)) == "the golden image gets another label"
    assert moved(golden, np.array([1.0, np.nan, 0.0], np.float32)) is not None


def test_an_engine_that_answers_nan_is_found_out(backbone: Backbone, adapters: list[TaskAdapter]) -> None:
    adapter = adapters[0]
    nan = np.full_like(adapter.golden_logits, np.nan)
    with pytest.raises(GoldenNotFinite):
        verify(backbone, adapter, resident=resident_of(adapter, "a", Cost(0, 0)), answer=lambda _: nan)
