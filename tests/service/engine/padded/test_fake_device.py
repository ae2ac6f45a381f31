"""The padded engine on device "cuda" without one: fake tensors know shapes and devices, and raise where these mix.

They cannot show streams, graphs, pinned memory, or numbers.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from backbone import Backbone, SiteWeights
from benchmarks.synthetic import task_adapter
from service.engine import Engine, Resident
from service.engine.padded import PaddedRuntime
from service.engine.padded.bank import FIRST_SLOTS, Blocking
from service.engine.padded.graphs import Direct
from service.engine.planning import plan
from tests.backbone.kernels.networks import vit

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def mode(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTensorMode]:
    """Every tensor is fake, also those that come from NumPy."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        from_numpy = torch.from_numpy

        def pinned(tensor: Tensor) -> Tensor:
            assert tensor.device == CPU
            return tensor

        monkeypatch.setattr(torch, "from_numpy", lambda array: mode.from_tensor(from_numpy(array)))
        monkeypatch.setattr(Tensor, "pin_memory", pinned)
        yield mode


@pytest.fixture(params=["swin", "vit"])
def network(request: pytest.FixtureRequest, backbone: Backbone) -> Backbone:
    return backbone if request.param == "swin" else vit()


@pytest.fixture
def tasks(network: Backbone) -> list[Resident]:
    """Tasks of all kinds of widths; the first has no live site, the last lives from the start."""
    engine, sites = Engine(network), len(network.sites)
    return [_task(engine, [0] * (sites - live) + [1 + 3 * live % 20] * live, live) for live in range(sites + 1)]


def _task(engine: Engine, widths: list[int], seed: int) -> Resident:
    return engine.weights_of(task_adapter(engine.backbone, widths, classes=3, seed=seed), f"{seed}")


def on_device(network: Backbone, mode: FakeTensorMode, dtype: torch.dtype, *, budget: int = 2**30) -> PaddedRuntime:
    """A runtime that was moved to the device as `Module.to` does it: parameters and buffers, and nothing else."""
    with torch.utils._python_dispatch._disable_current_modes():
        runtime = PaddedRuntime(
            network, device=CPU, dtype=dtype, budget=budget, player=Direct(), transfer=Blocking(CUDA)
        )
    runtime._device = runtime._bank._device = CUDA
    for module in runtime._backbone.modules():
        for name, parameter in module.named_parameters(recurse=False):
            moved = mode.from_tensor(parameter.data).to(CUDA)
            setattr(module, name, nn.Parameter(moved, requires_grad=False))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, mode.from_tensor(buffer).to(CUDA))
    return runtime


def faked(resident: Resident, mode: FakeTensorMode) -> Resident:
    """The same weights as fake tensors on the CPU, all of them views of one block."""
    block = mode.from_tensor(resident.block)

    def view(part: Tensor) -> Tensor:
        return block.as_strided(part.shape, part.stride(), part.storage_offset())

    sites = {index: SiteWeights(*map(view, pair)) for index, pair in resident.sites.items()}
    weight, bias = map(view, resident.head)
    return replace(resident, block=block, sites=sites, head=(weight, bias))


def ask(runtime: PaddedRuntime, tasks: list[Resident], images: list[int]) -> list[tuple[Tensor, Tensor]]:
    batch = plan(tasks, images)
    return runtime.forward(torch.zeros(len(batch.images), 3, *runtime._backbone.preprocessing.size), batch)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_mixed_batch_stays_on_the_device_and_answers_on_the_host_in_float32(
    network: Backbone, tasks: list[Resident], mode: FakeTensorMode, dtype: torch.dtype
) -> None:
    runtime, there = on_device(network, mode, dtype), [faked(task, mode) for task in tasks]
    for images in ([0, 1], [0, 0], [0, 0, 1, 2]):
        rows = [there[(7 * row) % len(there)] for row in range(len(images))]
        for logits, features in ask(runtime, rows, images):
            assert (logits.device, features.device) == (CPU, CPU)
            assert (logits.dtype, features.dtype) == (torch.float32, torch.float32)
            assert (logits.shape[1], features.shape[1]) == (3, network.feature_dim)


@pytest.mark.parametrize("network", ["vit"], indirect=True)
def test_weights_that_are_copied_ahead_grow_and_leave_stay_on_the_device(
    network: Backbone, tasks: list[Resident], mode: FakeTensorMode
) -> None:
    runtime = on_device(network, mode, torch.bfloat16, budget=2**17)
    there = [replace(faked(tasks[seed % len(tasks)], mode), sha256=f"{seed}") for seed in range(3 * FIRST_SLOTS)]
    for task in there:
        runtime._bank.slots([task])
        runtime.prepare(there[1])
    usage = runtime.usage()
    assert usage.evictions > 0
    assert usage.nbytes <= 2**17
    held = {tensor.device.type for slab in runtime._bank._slabs.values() for tensor in slab.tensors}
    assert held == {"cuda"}


def _norm(runtime: PaddedRuntime, mode: FakeTensorMode) -> None:
    norm = runtime._backbone.sites[1].branch.get_submodule("norm")
    norm.weight = nn.Parameter(torch.ones(runtime._backbone.sites[1].dim), requires_grad=False)


def _bank(runtime: PaddedRuntime, mode: FakeTensorMode) -> None:
    runtime._bank._device = CPU


@pytest.mark.parametrize("forget", [_norm, _bank])
@pytest.mark.parametrize("network", ["vit"], indirect=True)
def test_a_tensor_that_is_left_on_the_host_is_found(
    network: Backbone,
    tasks: list[Resident],
    mode: FakeTensorMode,
    forget: Callable[[PaddedRuntime, FakeTensorMode], None],
) -> None:
    runtime = on_device(network, mode, torch.float32)
    forget(runtime, mode)
    with pytest.raises(RuntimeError, match="device"):
        ask(runtime, [faked(tasks[-1], mode)] * 2, [0, 1])


def test_the_stem_norms_and_sums_are_float32_and_products_are_not(
    network: Backbone, tasks: list[Resident], mode: FakeTensorMode
) -> None:
    runtime, seen = on_device(network, mode, torch.bfloat16), dict[str, torch.dtype]()
    for site in runtime._backbone.sites:
        site.branch.register_forward_pre_hook(lambda _, given: seen.update(stream=given[0].dtype))
        for layer in site.branch.modules():
            if isinstance(layer, nn.Linear):
                layer.register_forward_hook(lambda _, given, out: seen.update(product=out.dtype))
    runtime._backbone.tail.register_forward_pre_hook(lambda _, given: seen.update(pooled=given[0].dtype))
    ask(runtime, [faked(tasks[-1], mode)] * 2, [0, 1])
    assert seen == {"stream": torch.float32, "product": torch.bfloat16, "pooled": torch.float32}
