"""Products in float32 by AMX: as near to exact ones as those of PyTorch, whatever their shape."""

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from backbone.kernels import load, path_in
from backbone.kernels.bindings import Library
from backbone.kernels.build import AMX, BF16, build, level
from backbone.layers import Branch
from tests.backbone.kernels.computing import THREADS, assert_close, output, torch_threads
from tests.backbone.kernels.networks import mlp, swin
from tests.backbone.kernels.test_bfloat16 import away

pytestmark = pytest.mark.skipif(level() != AMX, reason="needs a processor with AMX")
LEAST = 48  # tokens of an image that are multiplied so: see kernels.cpp


@pytest.fixture(scope="session")
def own(folder: Path) -> Library:
    """This machine's library."""
    return Library(path_in(folder))


@pytest.fixture(scope="session")
def by_vectors(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The library of a processor without AMX."""
    return Library(build(tmp_path_factory.mktemp("vectors"), BF16))


def exact(module: Branch, x: Tensor) -> Tensor:
    """The branch's output in double precision."""
    answer: Tensor = copy.deepcopy(module).double()(x.double())
    return answer


@given(st.integers(LEAST, 300), st.integers(1, 9), st.integers(1, 20), THREADS)
@settings(deadline=None, max_examples=60)
def test_products_of_any_shape_are_as_near_as_float32_is(
    own: Library, tokens: int, sixteens: int, hidden: int, threads: int
) -> None:
    module, x = mlp(16 * sixteens, 16 * hidden), torch.randn(1, tokens, 16 * sixteens)
    with torch_threads(threads):
        found = output(own, module, x)
    assert_close(found, module(x))
    expected = exact(module, x)
    assert away(found.double(), expected) < 2 * away(module(x).double(), expected) + 1e-7


def test_they_are_other_products_than_those_by_vectors(own: Library, by_vectors: Library) -> None:
    """Otherwise the tests here would show nothing."""
    assert (own.tiles, by_vectors.tiles) == (True, False)
    module = mlp(96, 384)
    few, many = torch.randn(1, LEAST - 1, 96), torch.randn(1, LEAST, 96)
    assert torch.equal(output(own, module, few), output(by_vectors, module, few))
    assert not torch.equal(output(own, module, many), output(by_vectors, module, many))


@pytest.mark.parametrize("scale", [1e-18, 1e-6, 1e6, 1e18])
def test_small_and_large_numbers_keep_all_their_bits(own: Library, scale: float) -> None:
    module, x = mlp(64, 256), torch.randn(1, LEAST, 64)
    module.fc2.weight.mul_(scale)
    module.fc2.bias.mul_(scale)
    given, expected = output(own, module, x), exact(module, x)
    assert away(given.double(), expected) < 1e-6


@pytest.mark.parametrize("threads", [1, 2])
def test_an_image_s_result_is_to_the_bit_what_it_is_alone(own: Library, threads: int) -> None:
    module, x = mlp(144, 576), torch.randn(9, 57, 144)
    with torch_threads(threads):
        together = output(own, module, x)
        for image in range(len(x)):
            assert torch.equal(output(own, module, x[image : image + 1])[0], together[image])


def test_numbers_that_are_none_stay_where_they_are(own: Library) -> None:
    module, x = mlp(32, 64), torch.randn(1, LEAST, 32)
    x[0, 1, 2] = torch.nan
    x[0, 7, 3] = torch.inf
    given = output(own, module, x)[0]
    assert given[[1, 7]].isnan().all()
    assert given[[row for row in range(LEAST) if row not in (1, 7)]].isfinite().all()


def test_a_network_s_answers_are_as_near_as_float32_is(folder: Path) -> None:
    network = swin(embed_dim=32, depths=(2, 2), num_heads=(2, 4))  # of 64 and of 16 tokens an image
    kernels, sites = load(network, folder), len(network.sites)
    assert kernels.compiled == sites
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        given = kernels.advance(kernels.embed(x), 0, sites)
        expected = network.embed(x)
        for site in network.sites:
            entered, h = site.opened(expected)
            expected = entered + h
    assert_close(given, expected)
