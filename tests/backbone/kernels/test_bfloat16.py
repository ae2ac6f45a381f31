"""Products in bfloat16: they equal products of rounded numbers, and are refused on processors without them."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from backbone.kernels import KernelsUnusable, load, multiplies_bf16, path_in
from backbone.kernels.bindings import Library
from backbone.kernels.build import AMX, BF16, PLAIN, build, level
from backbone.layers import Mlp, WindowAttention
from tests.backbone.kernels.computing import THREADS, output, torch_threads
from tests.backbone.kernels.networks import mlp, swin, vit

multiplies = pytest.mark.skipif(not multiplies_bf16(), reason="needs a processor with AVX-512 BF16")


@pytest.fixture(scope="session")
def lowered(folder: Path) -> Library:
    """This machine's library, which multiplies in bfloat16."""
    return Library(path_in(folder), bf16=True)


@pytest.fixture(scope="session")
def by_vectors(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The library of a processor without AMX."""
    return Library(build(tmp_path_factory.mktemp("vectors"), BF16), bf16=True)


def rounded(x: Tensor) -> Tensor:
    return x.to(torch.bfloat16).float()


def by_rounding(module: Mlp, x: Tensor) -> Tensor:
    """The MLP in float32, with every factor of its products rounded."""
    up, down = module.fc1, module.fc2
    hidden = functional.gelu(functional.linear(rounded(module.norm(x)), rounded(up.weight), up.bias))
    return functional.linear(rounded(hidden), rounded(down.weight), down.bias)


def away(given: Tensor, expected: Tensor) -> float:
    return float((given - expected).norm() / expected.norm())


@multiplies
@given(st.integers(1, 300), st.integers(1, 9), st.integers(1, 9), THREADS)
@settings(deadline=None, max_examples=60)
def test_products_of_any_shape_are_near_those_of_rounded_numbers(
    lowered: Library, tokens: int, sixteens: int, hidden: int, threads: int
) -> None:
    module, x = mlp(16 * sixteens, 16 * hidden), torch.randn(tokens, 16 * sixteens)
    with torch_threads(threads):
        given = output(lowered, module, x)
    assert away(given, by_rounding(module, x)) < 1e-2
    assert 1e-5 < away(given, module(x)) < 2e-2


@multiplies
def test_products_are_those_of_rounded_numbers(lowered: Library) -> None:
    torch.manual_seed(0)
    module, x = mlp(144, 576), torch.randn(5000, 144)
    given = output(lowered, module, x)
    # Seldom a number that lies between two is rounded to the other one, because the norm differs in its last bit.
    assert away(given, by_rounding(module, x)) < 0.1 * away(given, module(x))


@pytest.mark.skipif(level() != AMX, reason="needs a processor with AMX")
@given(st.integers(1, 80), st.integers(1, 9), st.integers(1, 9), THREADS)
@settings(deadline=None, max_examples=60)
def test_tiles_give_what_vectors_give(
    lowered: Library, by_vectors: Library, tokens: int, sixteens: int, hidden: int, threads: int
) -> None:
    """Both sum the same products in float32; only the order differs."""
    assert (lowered.tiles, by_vectors.tiles) == (True, False)
    module, x = mlp(16 * sixteens, 16 * hidden), torch.randn(tokens, 16 * sixteens)
    with torch_threads(threads):
        assert away(output(lowered, module, x), output(by_vectors, module, x)) < 1e-3


@multiplies
def test_a_network_in_bfloat16_is_near_itself_in_float32(folder: Path) -> None:
    for network, shape in ((swin(depths=(2, 2), num_heads=(2, 4)), (3, 8, 8, 16)), (vit(), (3, 17, 32))):
        exact, near = load(network, folder), load(network, folder, bf16=True)
        assert near.compiled == exact.compiled > 0
        x, sites = torch.randn(shape), len(network.sites)
        with torch.inference_mode():
            assert 1e-5 < away(near.advance(x, 0, sites), exact.advance(x, 0, sites)) < 2e-2


@multiplies
def test_what_is_further_away_than_rounding_explains_is_refused(folder: Path) -> None:
    network = swin()
    branch = network.sites[0].branch
    assert isinstance(branch, WindowAttention)
    branch.forward = lambda x: 1.1 * WindowAttention.forward(branch, x)  # type: ignore[method-assign]
    with pytest.raises(KernelsUnusable, match="what sub-layer 0 gives"):
        load(network, folder, bf16=True)


@multiplies
def test_numbers_that_are_none_stay_where_they_are(lowered: Library) -> None:
    module, x = mlp(16, 64), torch.randn(3, 16)
    x[1, 2] = torch.nan
    given = output(lowered, module, x)
    assert given[1].isnan().all()
    assert given[::2].isfinite().all()


def test_a_library_without_such_products_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KernelsUnusable, match="does not multiply bfloat16"):
        Library(build(tmp_path, PLAIN), bf16=True)
