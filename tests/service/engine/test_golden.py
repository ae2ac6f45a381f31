"""A task adapter must give its golden logits, by the reference forward, before it may answer anyone."""

from dataclasses import replace

import numpy as np
import pytest

from adapters_store import TaskAdapter
from backbone import Backbone
from service.engine import Cost, Engine, GoldenCheck, GoldenMismatch, GoldenNotFinite, Usage
from service.engine.weights import resident_of, verify


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


def test_an_engine_that_answers_nan_is_found_out(backbone: Backbone, adapters: list[TaskAdapter]) -> None:
    adapter = adapters[0]
    nan = np.full_like(adapter.golden_logits, np.nan)
    with pytest.raises(GoldenNotFinite):
        verify(backbone, adapter, resident=resident_of(adapter, "a", Cost(0, 0)), answer=lambda _: nan)
