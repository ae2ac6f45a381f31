"""Properties that every method has."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from backbone import Backbone, load_backbone
from backbone.fingerprint import fingerprint_of
from tests.training.methods.networks import CLASSES, KINDS, build, far_apart, images, shake, small
from tests.training.small import small_options, small_set
from training.fit import Fitting, build_optimizer, train_epoch
from training.methods import METHODS
from training.model import TaskModel
from training.prefix import Cut

NAMES = list(METHODS)
LIKE_THE_BARE_NETWORK = [
    *("full", "attention", "mlp", "linear", "tiny-adapters", "adaptformer-64", "adaptformer-256", "bitfit"),
    *("fact-tk", "fact-tt", "lora", "lora-all", "adalora", "repadapter", "convpass"),
]
TARGETS = torch.tensor([0, 1, 2, 0])


@pytest.fixture(scope="module")
def shipped() -> Backbone:
    return load_backbone()


def loss_of(model: TaskModel) -> Tensor:
    return functional.cross_entropy(model(images(4)), TARGETS)


def values_of(model: TaskModel) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LIKE_THE_BARE_NETWORK)
def test_a_new_model_answers_as_the_bare_network(name: str, kind: str) -> None:
    bare, model = build("linear", small(kind)), build(name, small(kind))
    with torch.inference_mode():
        assert far_apart(model.eval()(images()), bare.eval()(images())) <= 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_all_methods_start_from_the_same_head_and_the_seed_decides_the_rest(name: str) -> None:
    state = torch.get_rng_state()
    first, again, other = (build(name, small("swin"), seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.head.weight, build("linear", small("swin")).head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)
    for parameter, twin in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(parameter, twin)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_step_lowers_the_loss_and_changes_only_what_the_method_trains(name: str, kind: str) -> None:
    resident = small(kind)
    model = build(name, resident).eval()
    before, loss = values_of(model), loss_of(model)
    optimizer = torch.optim.Adam(model.task_parameters().values(), lr=1e-4)
    loss.backward()
    optimizer.step()
    assert loss_of(model) < loss
    trained = {id(parameter) for parameter in model.task_parameters().values()}
    for key, parameter in model.named_parameters():
        assert torch.equal(parameter, before[key]) or id(parameter) in trained, key
    assert fingerprint_of(resident) == resident.fingerprint
    assert not any(parameter.requires_grad for parameter in resident.parameters())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_own_parameter(name: str, kind: str) -> None:
    model = shake(build(name, small(kind)))
    model.draw_from(torch.Generator().manual_seed(0))
    loss_of(model).backward()
    unreached = [key for key, value in model.task_parameters().items() if value.grad is None or not value.grad.any()]
    assert unreached == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_sites_before_the_first_are_the_resident_networks_own(name: str, kind: str) -> None:
    resident, model = small(kind), shake(build(name, small(kind))).eval()
    if any(parameter.requires_grad for parameter in model.backbone.stem.parameters()):
        assert model.first_site == 0
        return
    with torch.inference_mode():
        prefix = resident.advance(resident.embed(images()), 0, model.first_site)
        assert far_apart(model.forward_from(prefix, Cut(model.first_site)), model(images())) <= 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_training_loops_take_every_method_and_repeat_an_epoch_exactly(name: str) -> None:
    fit, runs = small_options().fit, []
    for _ in range(2):
        model = build(name, small("swin"))
        fitting = Fitting(model, build_optimizer(model, fit), fit, 0)
        progress = train_epoch(fitting, small_set(32, 0), cycle=0, epoch=0, on_step=lambda _: None)
        runs.append((progress, values_of(model)))
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(value, runs[1][1][key]) for key, value in runs[0][1].items())
    assert fingerprint_of(small("swin")) == small("swin").fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_every_method_works_on_the_network_that_ships(name: str, shipped: Backbone) -> None:
    with torch.inference_mode():
        logits = build(name, shipped).eval()(images(1, 64))
    assert logits.shape == (1, CLASSES)
    assert logits.isfinite().all()
