"""One small real backbone and a few real task adapters, made once."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from adapters_store import TaskAdapter
from backbone import Backbone, kernels, load_backbone
from backbone.backend import Backend
from benchmarks.synthetic import task_adapter
from service.engine import Engine, Resident, Row
from service.engine.onnx_runtime import OnnxRuntime
from service.engine.runtime import Runtime, TorchRuntime
from tests.service.engine.gate import Ask, Gate, Picture

TASKS = 8
TORCH_ONLY = pytest.mark.parametrize("runtime", ["torch"], indirect=True)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """A forward of a few rows gains nothing from two threads, and loses much where another process wants a core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    return load_backbone()


def widths(seed: int, *, sites: int = 24) -> list[int]:
    """Hidden sizes 0 … 8; a task `seed` has its first `seed` sites removed, and about a third of the others."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(1, 9, sites) * (rng.random(sites) > 1 / 3)
    return [0] * seed + [int(width) for width in drawn[seed:]]


@pytest.fixture(scope="session")
def adapters(backbone: Backbone) -> list[TaskAdapter]:
    """Eight tasks with other widths, removed sites and class counts; the last has no live site at all."""
    shapes = [widths(seed) for seed in range(TASKS - 1)] + [[0] * 24]
    return [
        task_adapter(backbone, shape, classes=2 + 3 * seed, seed=seed, initial_widths=[8] * 24)
        for seed, shape in enumerate(shapes)
    ]


@pytest.fixture(scope="session")
def onnx_runtime(backbone: Backbone) -> OnnxRuntime:
    """One session for all tests, as for all tasks of a server."""
    return OnnxRuntime(backbone)


@pytest.fixture(scope="session")
def compiled(backbone: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Backend:
    """All sub-layers over compiled kernels."""
    folder = tmp_path_factory.mktemp("kernels")
    kernels.build(folder, kernels.level())
    found = kernels.load(backbone, folder)
    assert found.compiled == len(backbone.sites)
    return found


@pytest.fixture(params=["torch", "kernels", "onnx"])
def runtime(request: pytest.FixtureRequest, backbone: Backbone) -> Runtime:
    """Each runtime in turn; a test of PyTorch's own forward takes `TORCH_ONLY`."""
    if request.param != "onnx":
        computing = TorchRuntime(backbone)
        if request.param == "kernels":
            computing.use(request.getfixturevalue("compiled"))
        return computing
    found: OnnxRuntime = request.getfixturevalue("onnx_runtime")
    return found


@pytest.fixture
def engine(backbone: Backbone, runtime: Runtime) -> Engine:
    return Engine(backbone, runtime)


@pytest.fixture
def residents(engine: Engine, adapters: list[TaskAdapter]) -> list[Resident]:
    return [engine.admit(adapter, f"{task:064x}") for task, adapter in enumerate(adapters)]


@pytest.fixture(scope="session")
def pixels(backbone: Backbone) -> Picture:
    """A different image for each number."""
    return lambda seed: np.random.default_rng(seed).integers(0, 256, (*backbone.preprocessing.size, 3), dtype=np.uint8)


@pytest.fixture
def gate(engine: Engine) -> Gate:
    return Gate(engine)


@pytest.fixture
def rows(residents: list[Resident], pixels: Picture) -> Ask:
    """One row for each task number given; task n has 2 + 3n classes."""
    return lambda *tasks: [Row(residents[task], pixels(task)) for task in tasks]
