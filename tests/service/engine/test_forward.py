"""Mixed batches answer as each task alone does, and a removed site is not computed."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters_store import TaskAdapter
from backbone import Backbone, adapt
from backbone.backend import BARE, Live, ModuleBackend, Slice
from service.engine import Engine, Resident, Row
from service.engine.runtime import TorchRuntime
from tests.service.engine.conftest import TASKS, TORCH_ONLY
from tests.service.engine.gate import Picture


def close(ours: np.ndarray, reference: np.ndarray) -> bool:
    return float(np.abs(ours - reference).max()) <= 1e-5 * max(1.0, float(np.abs(reference).max()))


def alone(backbone: Backbone, row: Row) -> np.ndarray:
    """The answer by the backbone's own loop, for one image."""
    sites, (weight, bias) = row.resident.sites, row.resident.head
    with torch.inference_mode():
        features = backbone(
            backbone.preprocessing.normalize(torch.from_numpy(row.pixels)[None]),
            lambda index, h: adapt(h, sites[index]) if index in sites else h,
        )
        answer: np.ndarray = torch.nn.functional.linear(features, weight, bias)[0].numpy()
    return answer


def test_eight_tasks_in_one_batch_answer_as_each_does_alone(
    backbone: Backbone, engine: Engine, residents: list[Resident], pixels: Picture
) -> None:
    rows = [Row(residents[i % TASKS], pixels(i)) for i in range(TASKS + 4)]
    for row, result in zip(rows, engine.run(rows), strict=True):
        assert close(result.logits, alone(backbone, row))
        assert close(result.logits, engine.run([row])[0].logits)


@pytest.fixture
def answers(engine: Engine, residents: list[Resident], pixels: Picture) -> list[list[np.ndarray]]:
    """Of each task alone, for images 0 and 1."""
    return [[engine.run([Row(each, pixels(image))])[0].logits for image in range(2)] for each in residents]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(st.tuples(st.integers(0, TASKS - 1), st.integers(0, 1)), min_size=1, max_size=12))
def test_any_mix_in_any_order_answers_as_each_row_alone(
    engine: Engine,
    residents: list[Resident],
    pixels: Picture,
    answers: list[list[np.ndarray]],
    batch: list[tuple[int, int]],
) -> None:
    results = engine.run([Row(residents[task], pixels(image)) for task, image in batch])
    for (task, image), result in zip(batch, results, strict=True):
        assert close(result.logits, answers[task][image])


@TORCH_ONLY
def test_one_image_for_every_task_computes_its_trunk_once(
    engine: Engine, residents: list[Resident], answers: list[list[np.ndarray]], pixels: Picture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    entered: list[int] = []
    branch = engine.backbone.sites[0].branch
    forward, image = branch.forward, pixels(0)

    def counted(x: torch.Tensor) -> torch.Tensor:
        entered.append(len(x))
        found: torch.Tensor = forward(x)
        return found

    monkeypatch.setattr(branch, "forward", counted)
    results = engine.run([Row(resident, image.copy()) for resident in residents])  # equal, not the same array
    assert entered == [1]
    for result, (reference, _) in zip(results, answers, strict=True):
        assert close(result.logits, reference)


def test_features_are_what_the_head_read(engine: Engine, residents: list[Resident], pixels: Picture) -> None:
    for row in (rows := [Row(residents[task], pixels(0)) for task in (2, 7, 5)]):
        weight, bias = (part.numpy() for part in row.resident.head)
        result = engine.run(rows)[rows.index(row)]
        assert result.features.shape == (engine.backbone.feature_dim,)
        assert close(weight @ result.features + bias, result.logits)


def test_a_task_changes_its_answer_with_its_adapters_only(
    engine: Engine, residents: list[Resident], pixels: Picture
) -> None:
    one, other = residents[0], residents[1]
    image = pixels(0)
    answers = engine.run([Row(one, image), Row(other, image), Row(one, image)])
    assert np.array_equal(answers[0].logits, answers[2].logits)
    assert answers[0].logits.shape != answers[1].logits.shape


def test_a_batch_without_a_live_site_runs_the_bare_network(
    backbone: Backbone, adapters: list[TaskAdapter], pixels: Picture
) -> None:
    calls: list[Slice] = []

    class Counting(ModuleBackend):
        def advance(self, x: torch.Tensor, start: int, stop: int, live: Live = BARE) -> torch.Tensor:
            calls.extend(each for site in range(start, stop) for each in live.get(site, ()))
            return super().advance(x, start, stop, live)

    runtime = TorchRuntime(backbone)
    runtime.use(Counting(backbone))
    engine = Engine(backbone, runtime)
    engine.run([Row(engine.admit(adapters[7], "bare"), pixels(0))])
    assert not calls
    adapted = engine.admit(adapters[0], "adapted")
    engine.run([Row(adapted, pixels(0))])
    assert len(calls) == len(adapted.sites)
