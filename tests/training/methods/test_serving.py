"""A trained method folded into the weights answers as before, at the bare network's cost."""

from functools import partial
from typing import cast

import pytest
import torch
from torch import nn

from backbone import Backbone
from backbone.fingerprint import fingerprint_of
from tests.training.methods.networks import KINDS, build, far_apart, images, shake, small, swin_tiny
from training.methods import METHODS, merged
from training.methods.adapters import repadapter
from training.methods.lora import all_linears, queries_values
from training.methods.parts import Around, Beside, fork
from training.methods.registry import Build
from training.methods.serving import paper_flops, paper_parameters, true_flops
from training.methods.vpt import vpt
from training.model import TaskModel

MERGEABLE = [name for name, method in METHODS.items() if method.mergeable]
OTHERS = [name for name, method in METHODS.items() if not method.mergeable]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MERGEABLE)
def test_merged_logits_are_those_of_the_model(name: str, kind: str) -> None:
    model = shake(build(name, small(kind))).eval()
    plain = merged(model)
    with torch.inference_mode():
        assert far_apart(plain(images()), model(images())) <= 1e-5
    assert true_flops(plain) == true_flops(build("linear", small(kind)))
    shapes = {key: value.shape for key, value in small(kind).named_parameters()}
    biases = {key for key in dict(plain.backbone.named_parameters()) if key.endswith("bias")}
    assert {key: value.shape for key, value in plain.backbone.named_parameters() if key in shapes} == shapes
    assert plain.backbone.state_dict().keys() - shapes.keys() <= biases


@pytest.mark.parametrize("name", MERGEABLE)
def test_a_merged_network_is_frozen_and_keeps_its_values_while_the_model_trains_on(name: str) -> None:
    model = shake(build(name, small("swin"))).eval()
    plain = merged(model)
    assert not plain.own_parameters()
    assert plain.backbone.fingerprint == fingerprint_of(plain.backbone)
    with torch.inference_mode():
        before = plain(images())
        shake(model, 1.0)
        model.head.weight.data += 1
        assert torch.equal(plain(images()), before)
    assert fingerprint_of(small("swin")) == small("swin").fingerprint


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OTHERS)
def test_other_methods_refuse_to_merge(name: str, kind: str) -> None:
    with pytest.raises(ValueError, match="cannot be merged"):
        merged(build(name, small(kind)))


def test_a_tail_over_prompts_refuses_to_merge() -> None:
    with pytest.raises(ValueError, match="PromptedTail cannot be merged"):
        cast(Around, vpt(small("swin"), 3, 0, prompts=1).backbone.tail).merged()


def test_layers_without_a_bias_gain_one() -> None:
    torch.manual_seed(0)
    base, path = nn.Linear(4, 3, bias=False), nn.Linear(4, 3)
    x, around = torch.randn(5, 4), Beside(base, path)
    plain = around.merged()
    assert far_apart(plain(x), around(x)) <= 1e-6
    assert (around.in_features, around.weight) == (4, base.weight)


def test_scales_behind_layers_without_a_bias_merge_too() -> None:
    bare = small("swin")
    model = build("ssf", _without_qkv_bias(bare)).eval()
    with torch.inference_mode():
        assert far_apart(merged(model)(images()), model(images())) <= 1e-5


def _without_qkv_bias(backbone: Backbone) -> Backbone:
    forked = fork(backbone)
    forked.sites[0].branch.qkv.bias = None  # type: ignore[union-attr]
    return forked


def test_a_part_that_says_nothing_of_merging_refuses() -> None:
    with pytest.raises(ValueError, match="Around cannot be merged"):
        Around(nn.Linear(2, 2)).merged()


def test_the_linear_probe_merges_to_itself() -> None:
    model: TaskModel = build("linear", small("swin")).eval()
    with torch.inference_mode():
        assert torch.equal(merged(model)(images()), model(images()))


HEAD = 769 * 345
OWN = {
    "full": 27_519_354,
    "full-adapters": 27_519_354 + 1_078_272,
    "attention": 8_667_162,
    "mlp": 17_274_432,
    "linear": 0,
    "bitfit": 75_546,
    "adapters-sigma32": 1_078_272,
    "adapters-n47": 830_208,
    "adapters-n23": 406_272,
    "adapters-n1": 17_664,
    "tiny-adapters": 17_664,
    "adapters-plus": 141_312 + 8_832,  # eight neurons a site, and a scale of each channel
    "adaptformer-64": 570_432,
    "adaptformer-256": 2_268_480,
    "phm": 182_736,
    "compacter": 112_752,
    "vpt-10": 44_160,
    "vpt-100": 441_600,
    "ssf": 104_448,
    "fact-tt": 239_616,
    "fact-tk": 129_536,
    "lora": 141_312,
    "lora-all": 141_312,
    "adalora": 238_680,  # before the budget falls from 3 triplets a layer to 2
    "repadapter": 115_008,
    "convpass": 164_352,
}
OTHER_SIZES: dict[str, tuple[Build, int]] = {
    "lora of rank 1": (partial(queries_values, rank=1), 17_664),
    "lora of rank 2": (partial(queries_values, rank=2), 35_328),
    "lora of rank 1 everywhere": (partial(all_linears, rank=1), 70_656),
    "repadapter of 2 channels": (partial(repadapter, hidden=2), 35_376),
}
FIRST_SITES = {"linear": 24, "mlp": 1, "adaptformer-64": 1, "adaptformer-256": 1}


def test_every_method_has_its_count_below() -> None:
    assert OWN.keys() == METHODS.keys()
    assert all(name == method.name for name, method in METHODS.items())


@pytest.mark.parametrize("name", OWN)
def test_own_parameters_are_those_of_the_literature(name: str) -> None:
    model = METHODS[name].build(swin_tiny(), 345, 0)
    assert model.parameter_counts() == (OWN[name], HEAD)
    assert model.first_site == FIRST_SITES.get(name, 0)


@pytest.mark.parametrize("name", OTHER_SIZES)
def test_own_parameters_follow_the_rank(name: str) -> None:
    method, own = OTHER_SIZES[name]
    assert method(swin_tiny(), 10, 0).parameter_counts() == (own, 7690)


@pytest.mark.parametrize(
    ("name", "trained", "percent"),
    [
        ("full", 27_784_659, 100.0),
        ("attention", 8_932_467, 32.14),
        ("mlp", 17_539_737, 63.12),
        ("linear", 265_305, 0.95),
        ("bitfit", 340_851, 1.22),
    ],
)
def test_the_papers_table_counts_a_head_of_345_classes_and_cuts_percentages_off(
    name: str, trained: int, percent: float
) -> None:
    model = METHODS[name].build(swin_tiny(), 10, 0)
    assert paper_parameters(model, swin_tiny()) == (trained, percent)


def test_true_flops_are_those_the_backbone_knows_of_itself() -> None:
    model = METHODS["linear"].build(swin_tiny(), 345, 0)
    assert true_flops(model) == swin_tiny().flops + 2 * 768 * 345


@pytest.mark.parametrize(
    ("name", "gflops"),
    [("adapters-sigma32", 9.067), ("adapters-n47", 9.258), ("adapters-n1", 8.731), ("adaptformer-64", 9.086)],
)
def test_what_a_method_adds_reproduces_the_papers_flops(name: str, gflops: float) -> None:
    bare, model = (METHODS[method].build(swin_tiny(), 345, 0) for method in ("linear", name))
    assert 8.695e9 < paper_flops(bare) < 8.73e9
    assert 8.72 + (paper_flops(model) - paper_flops(bare)) / 1e9 == pytest.approx(gflops, abs=5e-4)
