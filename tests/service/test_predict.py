"""From logits to named labels; and what becomes of a prediction that cannot be made."""

import asyncio
import threading
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adapters_store import VersionInfo, open_store
from backbone import ImageLimits
from service.decoding import Decoder
from service.engine import Batcher, DeadlineExceeded, Engine, Limits, RowResult
from service.errors import NonFiniteOutput
from service.metrics import Prediction as Record
from service.payload import Payload
from service.predict import Predictor, name, softmax
from service.registry import Registry, Served
from tests.service.adapters import bundled_backbone, make
from tests.service.live import PATIENCE, encode, picture

MADE = make(40, classes=4)
FINITE = st.floats(-(2.0**100), 2.0**100, width=32)


@pytest.fixture(scope="module")
def served() -> Served:
    resident = Engine(bundled_backbone()).admit(MADE.adapter, MADE.sha256)
    return Served("cats", VersionInfo(1, MADE.sha256, len(MADE.data), 0.0, "blob"), MADE.adapter.manifest, resident)


def result(*logits: float) -> RowResult:
    return RowResult(np.array(logits, dtype=np.float32), 2_000_000_000, 500_000_000)


def test_labels_come_by_probability_with_their_place_in_the_task(served: Served) -> None:
    found = name(result(0, 3, -1, 2), served, 3)
    assert [(p.label, p.index) for p in found.predictions] == [("class 1", 1), ("class 3", 3), ("class 0", 0)]
    assert (found.gflops_spent, found.gflops_saved) == (2.0, 0.5)


def test_equal_labels_keep_the_order_of_the_task(served: Served) -> None:
    assert [p.index for p in name(result(1, 1, 1, 1), served, 4).predictions] == [0, 1, 2, 3]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_an_answer_that_is_no_number_is_none(served: Served, bad: float) -> None:
    with pytest.raises(NonFiniteOutput):
        name(result(0, bad, 0, 0), served, 1)


@pytest.mark.anyio
async def test_a_deadline_that_passes_while_decoding_is_kept() -> None:
    engine, running, blocked = Engine(bundled_backbone()), threading.Event(), threading.Event()

    def hold() -> bool:
        running.set()
        return blocked.wait(PATIENCE)

    decoder = Decoder(engine.backbone.preprocessing, ImageLimits(), threads=1, backlog=9)
    with closing(open_store("memory://")) as store:
        registry = Registry(store, engine)
        registry.upload("cats", MADE.data)
        busy = asyncio.ensure_future(decoder.offload(hold))
        while not running.is_set():  # the only thread must be taken before the prediction asks for it
            await asyncio.sleep(0)
        predictor = Predictor(registry, decoder, Batcher(engine, Limits()), seconds=0.05)
        with pytest.raises(DeadlineExceeded):
            await predictor.predict("cats", Payload((encode(picture()),)), Record())
        blocked.set()
        await busy
        decoder.close()


@given(arrays(np.float32, st.integers(1, 9), elements=FINITE))
def test_probabilities_are_probabilities_for_any_finite_logits(logits: np.ndarray) -> None:
    found = softmax(logits)
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.sum() == pytest.approx(1)
    assert found[logits.argmax()] == found.max()
