"""Predictions that cannot be computed, and probabilities."""

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adapters_store import VersionInfo
from backbone import ImageLimits
from service.engine import Batcher, DeadlineExceeded, Engine, Limits, Row, RowResult
from service.errors import NonFiniteOutput
from service.inputs.decoding import Decoder
from service.prediction.answers import softmax
from service.prediction.predict import Predictor
from service.tasks.table import LoadedVersion
from tests.service.adapters import bundled_backbone, make
from tests.service.live import PATIENCE, encode, picture

MADE = make(40, classes=4)
FINITE = st.floats(-(2.0**100), 2.0**100, width=32)


@pytest.fixture(scope="module")
def served() -> LoadedVersion:
    resident = Engine(bundled_backbone()).admit(MADE.adapter, MADE.sha256)
    return LoadedVersion(
        "cats", VersionInfo(1, MADE.sha256, len(MADE.data), 0.0, "blob"), MADE.adapter.manifest, resident
    )


class Broken:
    """An engine whose answers are no numbers."""

    def __init__(self, logits: float, features: float) -> None:
        self.logits = np.array([0, logits], np.float32)
        self.features = np.array([features, 0], np.float32)

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        return [RowResult(self.logits, self.features, 1, 0, 0) for _ in rows]


@pytest.mark.anyio
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("where", ["logits", "features"])
async def test_an_answer_that_is_no_number_is_none(served: LoadedVersion, bad: float, where: str) -> None:
    batcher = Batcher(Broken(*((bad, 0) if where == "logits" else (0, bad))))
    batcher.start()
    decoder = Decoder(bundled_backbone().preprocessing, ImageLimits(), threads=1, backlog=9)
    try:
        with pytest.raises(NonFiniteOutput):
            await Predictor(decoder, batcher, seconds=PATIENCE).predict([served], [encode(picture())])
    finally:
        decoder.close()
        await batcher.drain(PATIENCE)


@pytest.mark.anyio
@pytest.mark.parametrize(("most", "asked"), [(0.05, None), (PATIENCE, 0.05), (0.05, PATIENCE)])
async def test_a_deadline_that_passes_while_decoding_is_kept(
    served: LoadedVersion, most: float, asked: float | None
) -> None:
    engine, running, blocked = Engine(bundled_backbone()), threading.Event(), threading.Event()

    def hold() -> bool:
        running.set()
        return blocked.wait(PATIENCE)

    decoder = Decoder(engine.backbone.preprocessing, ImageLimits(), threads=1, backlog=9)
    busy = asyncio.ensure_future(decoder.offload(hold))
    while not running.is_set():  # the only thread must be taken before the prediction asks for it
        await asyncio.sleep(0)
    batcher = Batcher(engine, Limits())
    batcher.start()
    photo = encode(picture(size=(200, 150)))  # a tiny image would not wait for the thread
    with pytest.raises(DeadlineExceeded):
        await Predictor(decoder, batcher, seconds=most).predict([served], [photo], seconds=asked)
    blocked.set()
    await busy
    decoder.close()
    await batcher.drain(PATIENCE)


@given(arrays(np.float32, st.integers(1, 9), elements=FINITE))
def test_probabilities_are_probabilities_for_any_finite_logits(logits: np.ndarray) -> None:
    found = softmax(logits)
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.sum() == pytest.approx(1)
    assert found[logits.argmax()] == found.max()
