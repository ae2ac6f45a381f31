"""Training on device "cuda" without one: fake tensors know shapes and devices, and raise where devices are mixed.

They cannot show numbers, streams, reads back to the host, or the backward pass, for which autograd needs a real device.
So gradients are made here, and no loss is read.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import pytest
import timm.data.mixup  # noqa: F401 - training imports it where it mixes, and its own tensors must not be fake ones
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.training.small import small_backbone, small_options, small_set
from training.fit import Fitting, _forward, _step, _Tally, build_optimizer, logits_of
from training.frozen import frozen_backbone
from training.methods import METHODS
from training.model import AdaptedModel, TaskModel
from training.options import FitOptions
from training.pixels import PixelSet
from training.pruning.criteria import Evidence, add_gradients, importance_of
from training.pruning.scores import starting_weights
from training.pruning.selection import shrink
from training.randaugment import OPERATIONS
from training.recipe import mixed

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
FIT = small_options().fit
VARIED = replace(FIT, rotate=5.0, zoom=0.1, jitter=0.2, drop_path=0.1)


@pytest.fixture
def mode(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTensorMode]:
    """Autocast on "cuda" is let to work here too."""
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: True)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield mode


def moved(model: TaskModel, mode: FakeTensorMode) -> TaskModel:
    """The model on the device, as `Module.to` moves it: parameters and buffers, and nothing else."""
    known: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) not in known:
                there = mode.from_tensor(parameter.data).to(CUDA)
                known[id(parameter)] = nn.Parameter(there, requires_grad=parameter.requires_grad)
            setattr(module, name, known[id(parameter)])
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, mode.from_tensor(buffer).to(CUDA))
    return model


def adapted(mode: FakeTensorMode, precision: str = "auto") -> AdaptedModel:
    with torch.utils._python_dispatch._disable_current_modes():
        frozen = frozen_backbone(small_backbone(), precision)  # type: ignore[arg-type]
        model = AdaptedModel(frozen, (2, 0, 3, 1), 3)
    moved(model, mode)
    return model


def images(mode: FakeTensorMode, device: torch.device) -> PixelSet:
    with torch.utils._python_dispatch._disable_current_modes():
        real = small_set(12, 0)
    return PixelSet(mode.from_tensor(real.pixels).to(device), mode.from_tensor(real.targets).to(device))


def step(model: TaskModel, train: PixelSet, fit: FitOptions) -> Fitting:
    """Forward, made gradients and update of one batch; nothing is read back."""

    def backward(loss: Tensor) -> None:
        assert loss.device.type == "cuda"
        for parameter in model.task_parameters().values():
            parameter.grad = torch.zeros_like(parameter)

    fitting = Fitting(model, build_optimizer(model, fit), fit, seed=0)
    model.train()
    model.drop_path = fit.drop_path
    model.draw_from(None)  # type: ignore[arg-type]  # a generator on CUDA needs the device
    rows, tally = torch.arange(8), _Tally(fitting)
    forward = _forward(fitting, train, 0, torch.Generator().manual_seed(0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "backward", backward)
        _step(fitting, lambda: forward(rows, slice(None)), train.targets[rows], rate=1e-3, weight=1.0, tally=tally)
    assert tally.sums.device.type == "cuda"
    assert all(p.grad is not None and p.grad.device.type == "cuda" for p in model.task_parameters().values())
    return fitting


@pytest.mark.parametrize("device", [CPU, CUDA], ids=["images on the host", "images on the device"])
@pytest.mark.parametrize("fit", [FIT, VARIED], ids=["plain", "varied"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_step_stays_on_the_device(
    mode: FakeTensorMode, device: torch.device, fit: FitOptions, precision: str
) -> None:
    step(adapted(mode, precision), images(mode, device), fit)


@pytest.mark.parametrize("name", METHODS)
def test_a_step_of_every_method_stays_on_the_device(mode: FakeTensorMode, name: str) -> None:
    with torch.utils._python_dispatch._disable_current_modes():
        model = METHODS[name].build(small_backbone(), 3, 0)
    train = images(mode, CUDA)
    moved(model, mode)
    logits = logits_of(model, train.pixels)
    assert (logits.device.type, tuple(logits.shape)) == ("cuda", (12, 3))
    step(model, train, replace(FIT, update="sgd"))


@pytest.mark.parametrize("criterion", ["weights", "movement", "down", "gradient", "gradient_signed", "random"])
def test_pruning_stays_on_the_device(mode: FakeTensorMode, criterion: str) -> None:
    model = adapted(mode)
    start = starting_weights(model)
    fitting = step(model, images(mode, CUDA), FIT)
    sums = importance_of("weights", Evidence(model, start, images(mode, CUDA), FIT, seed=0))
    add_gradients(sums, model, "gradient", last=True)
    evidence = Evidence(model, start, images(mode, CUDA), FIT, seed=0, gradients=sums)
    found = importance_of(criterion, evidence)  # type: ignore[arg-type]
    if criterion != "random":  # drawn on the host
        assert {tensor.device.type for weights in found.values() for tensor in weights} == {"cuda"}
    shrink(model, fitting.optimizer, {site: torch.arange(adapter.width - 1) for site, adapter in model.live.items()})
    assert model.widths == (1, 0, 2, 0)
    held: list[Tensor] = [value for state in fitting.optimizer.state.values() for value in state.values()]
    assert {tensor.device.type for tensor in held if tensor.ndim} == {"cuda"}


def test_mixing_stays_on_the_device(mode: FakeTensorMode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.recipe.kept_generators", lambda device: nullcontext())  # it asks the real device
    train = images(mode, CUDA)
    pictures = train.pixels.permute(0, 3, 1, 2).float()
    found, soft = mixed(pictures, train.targets, replace(FIT, mixup=0.8, cutmix=1.0), classes=3, seed=1)
    assert (found.device.type, soft.device.type, tuple(soft.shape)) == ("cuda", "cuda", (12, 3))


def test_rand_augment_stays_on_the_device(mode: FakeTensorMode) -> None:
    train = images(mode, CUDA)
    for name in OPERATIONS:
        assert OPERATIONS[name](train.pixels.permute(0, 3, 1, 2).float(), torch.ones(12, 1, 1, 1, device=CUDA)).is_cuda


def test_a_batch_of_the_wrong_device_is_seen(mode: FakeTensorMode) -> None:
    """The test can fail: this is what a missing transfer looks like."""
    model = adapted(mode)
    with pytest.raises(RuntimeError, match="device"):
        model(torch.zeros(2, 3, 16, 16))
