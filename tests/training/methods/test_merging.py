"""A trained method folded into the weights answers as before, at the bare network's cost."""

from typing import cast

import pytest
import torch
from torch import nn

from backbone import Backbone
from backbone.fingerprint import fingerprint_of
from tests.training.methods.networks import KINDS, build, far_apart, images, shake, small
from training.methods import METHODS, merged
from training.methods.flops import true_flops
from training.methods.parts import Around, Beside, fork
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
