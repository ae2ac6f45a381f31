"""Attention over all tokens by kernels: it equals the module, for all shapes and vector widths."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from backbone.kernels.bindings import Library
from backbone.kernels.steps import branch_step
from backbone.layers import GlobalAttention
from tests.backbone.kernels.computing import (
    THREADS,
    added,
    assert_adapted,
    assert_close,
    output,
    slices,
    torch_threads,
)
from tests.backbone.kernels.networks import Scale


def attention(heads: int, depth: int, scale: nn.Module | None = None) -> GlobalAttention:
    """A frozen one with random weights."""
    channels = heads * depth
    layers = (nn.LayerNorm(channels), nn.Linear(channels, 3 * channels), nn.Linear(channels, channels))
    return GlobalAttention(*layers, heads=heads, scale=scale).requires_grad_(requires_grad=False)


@st.composite
def attentions(draw: st.DrawFn) -> tuple[GlobalAttention, Tensor]:
    """A module and its input."""
    heads, depth = draw(st.sampled_from([(1, 16), (1, 64), (2, 8), (2, 40), (3, 16), (16, 1), (16, 3)]))
    channels, tokens, images = heads * depth, draw(st.integers(1, 80)), draw(st.integers(1, 5))
    scale = Scale(channels) if draw(st.booleans()) else None
    return attention(heads, depth, scale), torch.randn(images, tokens, channels)


@given(st.data(), attentions(), THREADS)
@settings(deadline=None, max_examples=80)
def test_it_equals_the_module_and_adapters_behind_it_pytorchs_operators(
    library: Library, data: st.DataObject, case: tuple[GlobalAttention, Tensor], threads: int
) -> None:
    module, x = case
    live = data.draw(slices(len(x), x.shape[-1]))
    with torch_threads(threads):
        assert_close(output(library, module, x), module(x))
        assert_close(added(library, module, x), x + module(x))
        assert_adapted(library, module, x, live)


def test_as_many_tokens_as_a_tile_may_have_give_the_same_and_more_are_left_to_the_module(library: Library) -> None:
    module = attention(2, 16)
    for tokens in (197, 577):
        x = torch.randn(3, tokens, 32)
        assert_close(output(library, module, x), module(x))
    assert branch_step(module, 641, library) is None
    assert branch_step(attention(1, 14), 4, library) is None


def test_one_image_that_is_not_finite_does_not_change_another(library: Library) -> None:
    module, x = attention(2, 16), torch.randn(2, 17, 32)
    x[1, 3, 4] = torch.nan
    out = output(library, module, x)
    assert_close(out[0], module(x[:1])[0])
    assert out[1].isnan().all()
