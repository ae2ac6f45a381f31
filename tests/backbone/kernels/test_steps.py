"""The sub-layers that the kernels support, and those that they leave to the network's modules."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from backbone.kernels.bindings import Library
from backbone.kernels.steps import branch_step, stem_of, step_of
from backbone.layers import Merge, Mlp
from backbone.network import SubLayer
from backbone.swin import SwinStem
from backbone.swin_model import PatchEmbed
from tests.backbone.kernels.computing import THREADS, assert_close, torch_threads
from tests.backbone.kernels.networks import mlp, swin, vit

TOKENS = 64


@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.sampled_from([16, 48, 80]), THREADS)
@settings(deadline=None, max_examples=40)
def test_merging_equals_the_modules_wherever_it_stands(
    library: Library, images: int, down: int, across: int, channels: int, threads: int
) -> None:
    x = torch.randn(images, 2 * down, 2 * across, channels)
    first, second = (site(merge(channels), index=0), site(None, index=1, channels=2 * channels))
    steps = [step_of(each, library) for each in (first, second)]
    with torch_threads(threads):
        given = library.run([step for step in steps if step is not None], x)
    entered, h = first.opened(x)
    assert_close(given, entered + h + second.branch(entered + h))


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.sampled_from([(4, 16), (8, 48)]), THREADS)
@settings(deadline=None, max_examples=40)
def test_patch_embedding_equals_the_module(
    library: Library, images: int, down: int, across: int, shape: tuple[int, int], threads: int
) -> None:
    side, channels = shape
    module = PatchEmbed(side, side, channels).requires_grad_(requires_grad=False)
    stem = stem_of(SwinStem(module, (down, across)), library)
    assert stem is not None
    x = torch.randn(images, 3, down * side, across * side)
    with torch_threads(threads):
        assert_close(library.embed(stem, x), module(x))


def test_other_stems_are_left_to_their_modules(library: Library) -> None:
    assert stem_of(vit().stem, library) is None
    plain = PatchEmbed(32, 4, 16)
    plain.norm = nn.Identity()  # type: ignore[assignment]
    assert stem_of(SwinStem(plain, (8, 8)), library) is None
    assert stem_of(SwinStem(PatchEmbed(32, 4, 18), (8, 8)), library) is None  # channels that no vector holds
    overlapping = PatchEmbed(32, 4, 16)
    overlapping.proj = nn.Conv2d(3, 16, 4, stride=2)
    assert stem_of(SwinStem(overlapping, (15, 15)), library) is None


def merge(channels: int) -> Merge:
    """A frozen one with random weights."""
    module = Merge(nn.LayerNorm(4 * channels), nn.Linear(4 * channels, 2 * channels, bias=False))
    return module.requires_grad_(requires_grad=False)


def site(enter: nn.Module | None, *, index: int, channels: int = 0) -> SubLayer:
    """An MLP of random weights, behind what enters it."""
    if isinstance(enter, Merge):
        channels = enter.reduction.out_features
    return SubLayer(index, mlp(channels, 2 * channels), shape=(1, channels), enter=enter)


def test_an_entrance_that_the_kernels_do_not_know_leaves_the_sub_layer_to_its_modules(library: Library) -> None:
    assert step_of(site(merge(16), index=0), library) is not None
    assert step_of(site(nn.Linear(32, 32), index=0, channels=32), library) is None
    with_bias = Merge(nn.LayerNorm(64), nn.Linear(64, 32))
    assert step_of(site(with_bias, index=0), library) is None
    assert step_of(site(merge(4), index=0, channels=8), library) is None or library.lanes <= 4


def test_what_the_kernels_do_not_compute_is_left_to_its_module(library: Library) -> None:
    linear = (nn.Linear(16, 32), nn.Linear(32, 16))
    for act in (nn.ReLU(), nn.GELU(approximate="tanh")):
        assert branch_step(Mlp(nn.LayerNorm(16), linear[0], act, linear[1]), TOKENS, library) is None
    assert branch_step(Mlp(nn.BatchNorm1d(16), linear[0], nn.GELU(), linear[1]), TOKENS, library) is None
    assert branch_step(Mlp(nn.LayerNorm(16, bias=False), linear[0], nn.GELU(), linear[1]), TOKENS, library) is None
    assert branch_step(mlp(14, 32), TOKENS, library) is None
    assert branch_step(mlp(16, 30), TOKENS, library) is None
    assert branch_step(swin(img_size=128, window_size=32).sites[0].branch, TOKENS, library) is None
    assert branch_step(swin(qkv_bias=False).sites[0].branch, TOKENS, library) is None
    assert branch_step(swin(embed_dim=18).sites[0].branch, TOKENS, library) is None
