"""Exported models answer as PyTorch does, for every architecture; a removed site is not computed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import timm
import torch
from onnx import TensorProto, numpy_helper
from safetensors.torch import save_file
from torch import nn

from backbone import BUNDLED, Backbone, flatten, load_backbone
from backbone.errors import UnsupportedBackbone
from backbone.network import SubLayer
from backbone.onnx import LOGITS, PIXELS, shared_model, task_model
from tests.backbone.cvt_reference import random_reference
from tests.backbone.onnx.running import by_pytorch, close, feeds_of, images, make_task, run, session_of

SWIN, VIT = "swin_tiny_patch4_window7_224", "vit_tiny_patch16_224"
SMALL: dict[str, dict[str, Any]] = {  # architectures with parts of their own, on images as small as they take
    "deit3_small_patch16_224": {"img_size": 32},  # scales behind the branches; only patches have a position
    "vit_small_patch14_reg4_dinov2": {"img_size": 28},  # register tokens
    "vit_tiny_patch16_384": {"img_size": 32, "global_pool": "avg"},
    "vit_base_patch16_siglip_224": {"img_size": 32, "embed_dim": 192, "depth": 2, "num_heads": 3},  # attention pools
    "eva02_tiny_patch14_224": {"img_size": 28},  # gated MLPs, rotary positions
    "eva02_base_patch16_clip_224": {"img_size": 32, "embed_dim": 192, "depth": 2, "num_heads": 3},  # norms inside
    "vit_tiny_patch16_dinov3_qkvb": {"img_size": 32, "init_values": 0.5},  # registers, rotary positions alone
}


def from_timm(name: str) -> Backbone:
    """Random weights, in which every bias, table and scale counts."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=0, **SMALL.get(name, {})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim <= 1 or parameter.shape[-1] < 64:
                parameter.add_(0.02 * torch.randn_like(parameter))
    network, side = flatten(name, model), SMALL.get(name, {}).get("img_size", 224)
    network.preprocessing = replace(network.preprocessing, size=(side, side))
    return network


@pytest.fixture(scope="module", params=[BUNDLED, "cvt_13", SWIN, VIT, *SMALL])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    if request.param == BUNDLED:
        return load_backbone()
    if request.param == "cvt_13":
        path: Path = tmp_path_factory.mktemp("cvt") / "cvt.safetensors"
        save_file({name: tensor.clone() for name, tensor in random_reference().state_dict().items()}, path)
        return load_backbone("cvt_13", weights=path)
    return from_timm(request.param)


@pytest.fixture(scope="module")
def bundled() -> Backbone:
    return load_backbone()


def test_one_shared_session_answers_every_task_as_pytorch_does(network: Backbone) -> None:
    session, last = session_of(shared_model(network)), len(network.sites) - 1
    for live, classes, batch in [((0, 3, last), 5, 2), ((), 2, 1), (range(last + 1), 11, 3)]:
        task, pixels = make_task(network, live, classes=classes), images(network, batch)
        reference = by_pytorch(network, task, pixels)
        assert close(run(session, feeds_of(network, task, pixels)), reference)
        if live:  # the comparison means something: adapters change the answer
            assert not close(by_pytorch(network, task._replace(sites={}), pixels), reference)


def test_a_single_task_answers_as_pytorch_does(network: Backbone) -> None:
    task, pixels = make_task(network, (1, 2, len(network.sites) - 1)), images(network, 3)
    session = session_of(task_model(network, *task, {}))
    assert [given.name for given in session.get_inputs()] == [PIXELS]
    assert close(run(session, {PIXELS: pixels.numpy()}), by_pytorch(network, task, pixels))


def test_models_pass_the_checker_and_use_standard_operators_alone(network: Backbone) -> None:
    for model in (shared_model(network), task_model(network, *make_task(network, (0,)), {})):
        onnx.checker.check_model(model, full_check=True)
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 20)]


def test_a_removed_site_is_not_computed(bundled: Backbone) -> None:
    """Its matrices may hold anything: a product with zero would make NaN of NaN."""
    session, task, pixels = session_of(shared_model(bundled)), make_task(bundled, (5,)), images(bundled, 2)
    answer = run(session, feeds_of(bundled, task, pixels, removed=float("nan")))
    assert close(answer, by_pytorch(bundled, task, pixels))


def test_a_removed_site_may_bring_matrices_without_a_neuron(bundled: Backbone) -> None:
    task, pixels = make_task(bundled, (5,)), images(bundled, 1)
    feeds = feeds_of(bundled, task, pixels)
    for site in bundled.sites:
        if site.index not in task.sites:
            feeds[f"sites.{site.index}.down"] = np.empty((0, site.dim), np.float32)
            feeds[f"sites.{site.index}.up"] = np.empty((site.dim, 0), np.float32)
    assert close(run(session_of(shared_model(bundled)), feeds), by_pytorch(bundled, task, pixels))


def test_a_single_task_holds_nothing_of_its_removed_sites(bundled: Backbone) -> None:
    bare, adapted = (task_model(bundled, *make_task(bundled, live), {}) for live in ((), (7,)))
    parameters = [sum(int(np.prod(each.dims)) for each in model.graph.initializer) for model in (bare, adapted)]
    assert parameters[1] - parameters[0] == 2 * bundled.sites[7].dim * (4 + 7)
    assert not any(node.op_type == "If" for node in adapted.graph.node)


def test_a_model_says_what_it_was_made_from(bundled: Backbone) -> None:
    model = task_model(bundled, *make_task(bundled, ()), {"labels": ["für", "wider"]})
    told = {key: json.loads(value) for key, value in session_of(model).get_modelmeta().custom_metadata_map.items()}
    assert told == {
        "backbone": {"name": bundled.name, "fingerprint": bundled.fingerprint},
        "preprocessing": bundled.preprocessing.as_dict(),
        "precision": "fp32",
        "labels": ["für", "wider"],
    }


def test_sizes_that_are_free_say_so(bundled: Backbone) -> None:
    shapes = {value.name: value.shape for value in session_of(shared_model(bundled)).get_inputs()}
    assert shapes[PIXELS] == ["batch", 3, 64, 64]
    assert shapes["sites.3.down"] == ["width.3", 48]
    assert shapes["sites.3.live"] == []
    assert shapes["head.weight"] == ["classes", 384]
    (out,) = (each for each in session_of(task_model(bundled, *make_task(bundled, ()), {})).get_outputs()
              if each.name == LOGITS)  # fmt: skip
    assert out.shape == ["batch", 5]


def test_a_module_that_nobody_knows_as_operators_is_refused_by_name() -> None:
    class Unheard(nn.Module):
        """A tail that no operator stands for."""

    network = load_backbone()
    network.tail = Unheard()
    assert isinstance(network.sites[0], SubLayer)
    with pytest.raises(UnsupportedBackbone, match="Unheard cannot be exported"):
        shared_model(network)


def test_int8_products_stay_near_those_in_float32(network: Backbone) -> None:
    task, pixels = make_task(network, (1, len(network.sites) - 1)), images(network, 2)
    reference = by_pytorch(network, task, pixels)
    model = task_model(network, *task, {}, int8=True)
    answer = run(session_of(model), {PIXELS: pixels.numpy()})
    assert close(answer, reference, tolerance=0.15)
    assert not close(answer, reference)  # it is another arithmetic indeed
    assert close(run(session_of(shared_model(network, int8=True)), feeds_of(network, task, pixels)), answer)


def test_int8_weights_have_seven_bits_and_take_a_quarter_of_the_room(bundled: Backbone) -> None:
    plain, small = (task_model(bundled, *make_task(bundled, ()), {}, int8=int8) for int8 in (False, True))
    onnx.checker.check_model(small, full_check=True)
    weights = [numpy_helper.to_array(each) for each in small.graph.initializer if each.data_type == TensorProto.INT8]
    assert len(weights) == 4 * 12 + 2 * 12 + 3  # query, key, value and projection; an MLP's two; merging
    assert {int(np.abs(each).max(0).min()) for each in weights} == {64}  # each output uses its whole range
    assert max(int(np.abs(each).max()) for each in weights) == 64
    assert small.ByteSize() < 0.3 * plain.ByteSize()
