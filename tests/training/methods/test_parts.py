"""The particulars of each method: the point where it reads, its formula, and its shared parameters."""

from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from backbone.errors import UnsupportedBackbone
from backbone.layers import Branch, Mlp
from backbone.network import Stem
from tests.training.methods.networks import build, far_apart, images, shake, small
from training.methods.adapters import Bottleneck, ConvBypass, GroupedBottleneck, KroneckerLinear, repadapter, rules_for
from training.methods.draws import Dropout
from training.methods.fact import FactPath, MixedCore, fact_tk
from training.methods.lora import queries_values
from training.methods.parts import Beside, Parallel, fork, linears_of


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_fork_shares_every_tensor_and_no_module() -> None:
    backbone = small("swin")
    twin = fork(backbone, lambda name: name.endswith("fc1.weight"))
    for name, parameter in twin.named_parameters():
        original = backbone.get_parameter(name)
        assert torch.equal(parameter, original)
        assert (parameter is original) == (not name.endswith("fc1.weight")) == (not parameter.requires_grad)
    assert all(a is b for a, b in zip(twin.buffers(), backbone.buffers(), strict=True))
    assert not {id(module) for module in twin.modules()} & {id(module) for module in backbone.modules()}


def test_methods_that_need_plain_attention_or_patches_refuse_other_networks() -> None:
    class Other(Branch):
        pass

    backbone = fork(small("vit"))
    backbone.sites[0].branch = Other()
    for name in ("attention", "lora", "lora-all", "adalora", "fact-tk", "fact-tt", "repadapter"):
        with pytest.raises(UnsupportedBackbone, match="one layer for queries, keys and values: Other"):
            build(name, backbone)
    backbone.stem = Stem()
    for name in ("vpt-10", "convpass"):
        with pytest.raises(UnsupportedBackbone, match="plain patch embedding, not Stem"):
            build(name, backbone)


def test_wrapped_linears_still_tell_their_size() -> None:
    bare = small("swin").sites
    for name in ("lora-all", "ssf", "repadapter", "vpt-10", "convpass"):
        sites = build(name, small("swin")).backbone.sites
        assert [site.branch.flops(site.tokens) for site in sites] == [site.flops for site in bare]


def test_dropout_draws_from_its_own_generator_and_rests_in_evaluation() -> None:
    dropout, x = Dropout(0.25), torch.ones(1000)
    state = torch.get_rng_state()
    draws = []
    for _ in range(2):
        dropout.noise = seeded()
        draws.append(dropout(x))
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(torch.get_rng_state(), state)
    assert draws[0].unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert dropout.eval()(x) is x


def test_lora_on_queries_and_values_leaves_keys_alone() -> None:
    model = shake(queries_values(small("vit"), 3, 0, rank=2))
    layer = cast(Beside, model.backbone.sites[0].branch.qkv)
    x = torch.randn(2, 5, 24, generator=seeded())
    queries, keys, values = (layer(x) - layer.base(x)).detach().chunk(3, -1)
    assert queries.abs().min() > 0
    assert values.abs().min() > 0
    assert not keys.any()


def test_a_kronecker_layer_is_a_sum_of_products() -> None:
    for rank_one in (False, True):
        layer = KroneckerLinear((6, 9), 3, seeded(), rank_one=rank_one)
        blocks = layer.blocks[0] @ layer.blocks[1] if rank_one else layer.blocks[0]
        weight = torch.stack([torch.kron(a, b) for a, b in zip(layer.rule, blocks, strict=True)]).sum(0)
        x = torch.randn(4, 6, generator=seeded())
        assert far_apart(layer(x), x @ weight) <= 1e-6


@pytest.mark.parametrize(("dim", "width", "rules"), [(96, 12, 12), (48, 6, 6), (16, 2, 2), (8, 1, 1), (100, 10, 10)])
def test_a_rule_is_as_large_as_both_sizes_allow(dim: int, width: int, rules: int) -> None:
    assert rules_for(dim, width) == rules


def test_tucker_cores_are_columns_of_one_tensor() -> None:
    model = shake(fact_tk(small("vit"), 3, 0, rank=4))
    sites = model.backbone.sites
    used = []
    for site in sites:
        for name in linears_of(site.branch):
            path = cast(FactPath, cast(Beside, getattr(site.branch, name)).paths[0]).eval()
            core = cast(MixedCore, path.core)
            x = torch.randn(3, 24 * path.groups[0], generator=seeded())
            u, v, c, p = path.factors.u, path.factors.v, core.tucker.c, core.tucker.p
            slices = [torch.einsum("ijk,k->ij", c, p[:, column]) for column in range(*core.columns.indices(100))]
            if path.groups[0] > 1:  # fc2: every group of channels has its slice
                z = sum(group @ u.T @ part.T for group, part in zip(x.split(24, 1), slices, strict=True))
                expected = z @ v.T
            else:
                expected = torch.cat([x @ u.T @ part.T @ v.T for part in slices], 1)
            assert far_apart(path(x), 0.1 * expected) <= 1e-5
            used += list(range(*core.columns.indices(100)))
    assert used == list(range(24))


def test_fact_refuses_layers_that_are_no_multiple_of_the_channels() -> None:
    backbone = fork(small("vit"))
    cast(Mlp, backbone.sites[1].branch).fc1 = nn.Linear(24, 50)
    with pytest.raises(UnsupportedBackbone, match="whole multiples of 24"):
        fact_tk(backbone, 3, 0)


def test_adaptformer_reads_the_stream_before_the_norm() -> None:
    site = shake(build("adaptformer-64", small("swin"))).backbone.sites[1]
    branch, x = cast(Parallel, site.branch).eval(), torch.randn(1, 8, 8, 24, generator=seeded())
    bottleneck = cast(Bottleneck, branch.bypass)
    expected = branch.branch(x) + 0.1 * bottleneck.up(functional.relu(bottleneck.down(x)))
    assert far_apart(branch(x), expected) <= 1e-6


def test_the_up_projection_of_repadapter_is_in_groups() -> None:
    part = GroupedBottleneck(6, 4, 0.5, seeded()).eval()
    part.up.data.normal_(generator=seeded())
    part.bias.data.normal_(generator=seeded())
    x = torch.randn(3, 6, generator=seeded())
    dense = torch.block_diag(*part.up.chunk(2))
    assert far_apart(part(x), x + 0.5 * (part.down(x) @ dense.T + part.bias)) <= 1e-6
    with pytest.raises(ValueError, match="multiple of 2, not 3"):
        repadapter(small("swin"), 3, 0, hidden=3)


def test_convpass_lays_patches_out_and_keeps_the_class_token_apart() -> None:
    bypass = ConvBypass(6, 4, grid=(2, 3), scale=1.0, generator=seeded()).eval()
    for parameter in bypass.parameters():
        parameter.data.normal_(generator=seeded())
    patches, token = torch.randn(2, 2, 3, 6, generator=seeded()), torch.randn(2, 1, 6, generator=seeded())
    out = bypass(torch.cat([token, patches.flatten(1, 2)], 1))
    assert far_apart(out[:, 1:], bypass(patches).flatten(1, 2)) <= 1e-6
    assert far_apart(out[:, :1], bypass(token.view(2, 1, 1, 6)).flatten(1, 2)) <= 1e-6


def test_convpass_reads_what_the_norm_gives() -> None:
    branch = cast(Parallel, shake(build("convpass", small("vit"))).backbone.sites[0].branch).eval()
    x = small("vit").embed(images())
    expected: Tensor = branch.branch(x) + branch.bypass(cast(Mlp, branch.branch).norm(x))
    assert torch.equal(branch(x), expected)
