"""ONNX Runtime behind the engine: the same answers, and no claim to what it does not do."""

import gc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from adapters_store import TaskAdapter, bundled, digest, unpack
from backbone import Backbone, Preprocessing
from service.engine import Engine, Resident, Row
from service.engine.onnx_runtime import OnnxRuntime, origins
from service.engine.planning import plan
from tests.service.engine.conftest import TASKS
from tests.service.engine.gate import Picture

IMAGES = 1000


@pytest.fixture
def engine(backbone: Backbone, onnx_runtime: OnnxRuntime) -> Engine:
    return Engine(backbone, onnx_runtime)


def close(ours: np.ndarray, reference: np.ndarray) -> bool:
    """The tolerance of ONNX parity."""
    return float(np.abs(ours - reference).max()) <= 1e-4 * max(1.0, float(np.abs(reference).max()))


def handwriting(preprocessing: Preprocessing) -> list[np.ndarray]:
    """A thousand real images."""
    grey = (load_digits().images[:IMAGES] * (255 / 16)).astype(np.uint8)
    return [preprocessing.pixels(Image.fromarray(each).convert("RGB")) for each in grey]


def ask(engine: Engine, resident: Resident, pixels: Sequence[np.ndarray], batch: int = 50) -> np.ndarray:
    """Logits of one task for many images."""
    rows = [Row(resident, each) for each in pixels]
    parts = [engine.run(rows[start : start + batch]) for start in range(0, len(rows), batch)]
    return np.stack([result.logits for part in parts for result in part])


def test_a_thousand_images_get_the_labels_that_pytorch_gives_them(backbone: Backbone, engine: Engine) -> None:
    data = bundled.bundled_tasks()["digits"]
    adapter, pixels = unpack(data), handwriting(backbone.preprocessing)
    ours, reference = (
        ask(each, each.admit(adapter, digest(data)), pixels) for each in (engine, Engine(backbone))
    )  # fmt: skip
    assert close(ours, reference)
    assert np.array_equal(ours.argmax(1), reference.argmax(1))
    assert len(set(ours.argmax(1).tolist())) == len(adapter.manifest.labels)


def test_mixed_rows_answer_as_the_torch_engine_does(
    backbone: Backbone, engine: Engine, adapters: list[TaskAdapter], residents: list[Resident], pixels: Picture
) -> None:
    torch_engine = Engine(backbone)
    theirs = [torch_engine.admit(adapter, str(task)) for task, adapter in enumerate(adapters)]
    tasks = [5, 0, 7, 3, 0, 7, 1, 6]
    ours = engine.run([Row(residents[task], pixels(image % 3)) for image, task in enumerate(tasks)])
    reference = torch_engine.run([Row(theirs[task], pixels(image % 3)) for image, task in enumerate(tasks)])
    for one, other in zip(ours, reference, strict=True):
        assert close(one.logits, other.logits)
        assert close(one.features, other.features)


def test_tasks_about_one_image_are_not_said_to_share(
    engine: Engine, residents: list[Resident], pixels: Picture
) -> None:
    for resident, result in zip(residents, engine.run([Row(each, pixels(0)) for each in residents]), strict=True):
        assert (result.flops_spent, result.flops_shared) == (resident.cost.spent, 0)
        assert resident.cost.trunk == 0  # so that a batch of them is measured as whole forward passes


def test_a_row_that_is_there_twice_is_computed_once_and_halved(
    engine: Engine, residents: list[Resident], pixels: Picture, onnx_runtime: OnnxRuntime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    ran: list[int] = []
    session = onnx_runtime._session

    class Counting:
        """The real session, counting the images it gets."""

        def run_with_ort_values(self, names: list[str], feeds: dict[str, Any]) -> Any:  # noqa: ANN401
            ran.append(feeds["pixels"].shape()[0])
            return session.run_with_ort_values(names, feeds)

    monkeypatch.setattr(onnx_runtime, "_session", Counting())
    twice, once = Row(residents[2], pixels(0)), Row(residents[4], pixels(0))
    results = engine.run([twice, once, twice])
    assert sorted(ran) == [1, 1]
    assert results[0].flops_spent + results[2].flops_spent == residents[2].cost.spent
    assert abs(results[0].flops_spent - results[2].flops_spent) <= 1
    assert results[1].flops_shared == 0


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, TASKS - 1), st.integers(0, 4)), min_size=1, max_size=16))
def test_each_row_of_a_plan_comes_from_its_own_image(rows: list[tuple[int, int]], made: list[Resident]) -> None:
    batch = plan([made[task] for task, _ in rows], [image for _, image in rows])
    entered = [batch.images[index] for index in origins(batch)]
    assert [entered[place] for place in batch.places] == [image for _, image in rows]


@pytest.fixture(scope="module")
def made(backbone: Backbone, adapters: list[TaskAdapter]) -> list[Resident]:
    engine = Engine(backbone)
    return [engine.admit(adapter, str(task)) for task, adapter in enumerate(adapters)]


def test_an_evicted_task_leaves_nothing_behind(
    engine: Engine, adapters: list[TaskAdapter], pixels: Picture, onnx_runtime: OnnxRuntime
) -> None:
    gc.collect()
    before = len(onnx_runtime._feeds)
    engine.run([Row(engine.admit(adapters[0], "passing"), pixels(0))])
    assert len(onnx_runtime._feeds) == before + 1
    engine.evict("passing")
    gc.collect()
    assert len(onnx_runtime._feeds) == before
    assert engine.usage().lingering == 0


def test_int8_answers_near_float32(
    backbone: Backbone, engine: Engine, residents: list[Resident], pixels: Picture
) -> None:
    rows = [Row(each, pixels(0)) for each in residents]
    for ours, reference in zip(
        Engine(backbone, OnnxRuntime(backbone, int8=True)).run(rows), engine.run(rows), strict=True
    ):
        off = float(np.abs(ours.logits - reference.logits).max())
        assert 0 < off <= 0.15 * max(1.0, float(np.abs(reference.logits).max()))
