"""Prompts among windows and in sequences, against the slow and plain way to compute the same."""

from typing import cast

import pytest
import torch
from torch import Tensor

from backbone.errors import UnsupportedBackbone
from backbone.layers import Branch, WindowAttention
from backbone.swin import MapTail
from tests.training.methods.networks import far_apart, images, small
from training.methods.parts import fork
from training.methods.vpt import MapPrompts, PromptedWindows, SequencePrompts, vpt

PROMPTS = 3


def attend(attention: WindowAttention, tokens: Tensor, bias: Tensor) -> Tensor:
    """One window of one image, head by head: (P + T, C) -> (P + T, C)."""
    size = tokens.shape[1] // attention.heads
    q, k, v = attention.qkv(tokens).split(tokens.shape[1], 1)
    heads = []
    for head in range(attention.heads):
        part = slice(head * size, (head + 1) * size)
        weights = (q[:, part] @ k[:, part].T / size**0.5 + bias[head]).softmax(-1)
        heads.append(weights @ v[:, part])
    out: Tensor = attention.proj(torch.cat(heads, 1))
    return out


def naive(attention: WindowAttention, x: Tensor, side: int) -> Tensor:
    """(P + side², C) of one image -> the same, window by window."""
    x = attention.norm(x)
    prompts, patches = x[:PROMPTS], x[PROMPTS:].view(side, side, -1)
    back, (rows, columns) = attention.shift[0], attention.window
    patches = patches.roll((-back, -back), (0, 1))
    table = attention.position_table[attention.index.flatten()].view(rows * columns, rows * columns, -1)
    out, seen = torch.zeros_like(patches), []
    corners = [(top, left) for top in range(0, side, rows) for left in range(0, side, columns)]
    for number, (top, left) in enumerate(corners):
        bias = torch.zeros(attention.heads, PROMPTS + rows * columns, PROMPTS + rows * columns)
        bias[:, PROMPTS:, PROMPTS:] = table.permute(2, 0, 1)
        if attention.mask is not None:
            bias[:, PROMPTS:, PROMPTS:] += attention.mask[number]
        window = patches[top : top + rows, left : left + columns].flatten(0, 1)
        h = attend(attention, torch.cat([prompts, window]), bias)
        seen.append(h[:PROMPTS])
        out[top : top + rows, left : left + columns] = h[PROMPTS:].view(rows, columns, -1)
    return torch.cat([torch.stack(seen).mean(0), out.roll((back, back), (0, 1)).flatten(0, 1)])


@pytest.mark.parametrize(("site", "side", "shifted"), [(0, 8, False), (2, 8, True), (4, 4, False)])
@torch.inference_mode()
def test_prompted_windows_agree_with_a_loop_over_windows(site: int, side: int, shifted: bool) -> None:
    branch = vpt(small("swin"), 3, 0, prompts=PROMPTS).backbone.sites[site].branch
    attention = cast(WindowAttention, cast(PromptedWindows, branch).branch)
    assert any(attention.shift) == shifted
    x = torch.randn(2, PROMPTS + side**2, attention.proj.in_features, generator=torch.Generator().manual_seed(4))
    expected = torch.stack([naive(attention, image, side) for image in x])
    assert far_apart(branch(x), expected) <= 1e-5


@torch.inference_mode()
def test_prompts_of_earlier_blocks_are_replaced_and_the_last_ones_join_the_mean() -> None:
    backbone = vpt(small("swin"), 3, 0, prompts=PROMPTS).backbone
    x = backbone.embed(images())
    for site in backbone.sites:
        x = site.enter(x)
        if site.index in (0, 2, 4):
            assert torch.equal(x[1, :PROMPTS], cast(MapPrompts, site.enter).prompts)
            assert x.shape[1:] == (PROMPTS + site.tokens, site.dim)
        x = x + site.branch(x)
    expected = cast(MapTail, small("swin").tail).norm(x).mean(1)
    assert torch.equal(backbone.pool(x), expected)


@torch.inference_mode()
def test_prompts_of_a_sequence_stand_behind_the_class_token() -> None:
    backbone = vpt(small("vit"), 3, 0, prompts=PROMPTS).backbone
    x = backbone.embed(images())
    for site in (backbone.sites[0], backbone.sites[2]):
        entered = site.enter(x)
        assert torch.equal(entered[:, :1], x[:, :1])
        assert torch.equal(entered[0, 1 : 1 + PROMPTS], cast(SequencePrompts, site.enter).prompts)
        assert torch.equal(entered[:, 1 + PROMPTS :], x[:, -16:])
        x = entered


def test_prompts_start_uniform_in_the_bound_of_the_patch_embedding() -> None:
    values = torch.cat([p.flatten() for p in vpt(small("swin"), 3, 0, prompts=100).own_parameters().values()])
    bound = (6 / (3 * 2 * 2 + 24)) ** 0.5
    assert values.abs().max().item() == pytest.approx(bound, rel=1e-2)


def test_other_kinds_of_attention_are_refused() -> None:
    class Other(Branch):
        def flops(self, tokens: int) -> int:
            return tokens

    backbone = fork(small("vit"))
    backbone.sites[0].branch = Other()
    with pytest.raises(UnsupportedBackbone, match="prompts cannot join Other"):
        vpt(backbone, 3, 0, prompts=1)
