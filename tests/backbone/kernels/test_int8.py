"""Products in int8: exact products of rounded numbers, the same by AMX and by AVX-512 VNNI."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from backbone.kernels import load, multiplies, path_in
from backbone.kernels.bindings import Library, rounded
from backbone.kernels.build import AMX, VNNI, build, level
from backbone.layers import Mlp
from tests.backbone.kernels.computing import THREADS, output, torch_threads
from tests.backbone.kernels.networks import mlp, swin, vit
from tests.backbone.kernels.test_bfloat16 import away, rough_gelu

pytestmark = pytest.mark.skipif(not multiplies("int8"), reason="needs a processor with AVX-512 VNNI")


@pytest.fixture(scope="session")
def own(folder: Path) -> Library:
    """This machine's library, which multiplies in int8."""
    return Library(path_in(folder), precision="int8")


@pytest.fixture(scope="session")
def by_vectors(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The library of a processor without AMX and without bfloat16."""
    return Library(build(tmp_path_factory.mktemp("vectors"), VNNI), precision="int8")


def product(x: Tensor, layer: torch.nn.Linear) -> Tensor:
    """With a scale for each row of `x` and for each output."""
    (rows, steps), (weights, scales) = rounded(x), rounded(layer.weight)
    return rows.double().mm(weights.double().t()).float() * steps[:, None] * scales + layer.bias


def by_rounding(module: Mlp, x: Tensor) -> Tensor:
    return product(rough_gelu(product(module.norm(x), module.fc1)), module.fc2)


@given(st.integers(1, 300), st.integers(1, 9), st.integers(1, 9), THREADS)
@settings(deadline=None, max_examples=40)
def test_products_of_any_shape_are_those_of_rounded_numbers(
    own: Library, tokens: int, sixteens: int, hidden: int, threads: int
) -> None:
    module, x = mlp(16 * sixteens, 16 * hidden), torch.randn(tokens, 16 * sixteens)
    with torch_threads(threads):
        given = output(own, module, x)
    # Seldom a number that lies between two is rounded to the other one.
    assert away(given, by_rounding(module, x)) < 1e-2
    assert 1e-4 < away(given, module(x)) < 5e-2


@pytest.mark.skipif(level() != AMX, reason="needs a processor with AMX")
@given(st.integers(1, 80), st.integers(1, 9), st.integers(1, 9), THREADS)
@settings(deadline=None, max_examples=40)
def test_tiles_give_what_vectors_give_to_the_bit(
    own: Library, by_vectors: Library, tokens: int, sixteens: int, hidden: int, threads: int
) -> None:
    """Sums of integers are exact in any order."""
    assert (own.tiles, by_vectors.tiles) == (True, False)
    module, x = mlp(16 * sixteens, 16 * hidden), torch.randn(tokens, 16 * sixteens)
    with torch_threads(threads):
        assert torch.equal(output(own, module, x), output(by_vectors, module, x))


def test_a_network_in_int8_is_near_itself_in_float32(folder: Path) -> None:
    for network, shape in ((swin(depths=(2, 2), num_heads=(2, 4)), (3, 8, 8, 16)), (vit(), (3, 17, 32))):
        exact, near = load(network, folder), load(network, folder, precision="int8")
        assert near.compiled == exact.compiled > 0
        x, sites = torch.randn(shape), len(network.sites)
        with torch.inference_mode():
            assert 1e-4 < away(near.advance(x, 0, sites), exact.advance(x, 0, sites)) < 5e-2


def test_largest_numbers_do_not_overflow_and_zeros_stay_zeros(own: Library) -> None:
    module, x = mlp(144, 576), torch.zeros(2, 144)
    norm = module.norm
    assert isinstance(norm, nn.LayerNorm)
    for layer in (module.fc1, module.fc2):
        layer.weight.fill_(1e3)
        layer.bias.zero_()
    norm.weight.zero_()
    norm.bias.fill_(1e3)
    given = output(own, module, x)
    torch.testing.assert_close(given, module(x), rtol=1e-2, atol=0)
    norm.bias.zero_()
    assert torch.equal(output(own, module, x), torch.zeros(2, 144))


def test_numbers_that_are_none_stay_where_they_are(own: Library) -> None:
    module, x = mlp(16, 64), torch.randn(3, 16)
    x[1, 2] = torch.nan
    given = output(own, module, x)
    assert given[1].isnan().all()
    assert given[::2].isfinite().all()


def test_a_weight_is_nearest_to_whole_steps() -> None:
    weight = torch.randn(5, 7)
    whole, scales = rounded(weight)
    assert float(whole.abs().max()) == 127
    assert bool(((whole * scales[:, None] - weight).abs() <= scales[:, None] / 2 * 1.0001).all())
    assert functional.relu(rounded(torch.zeros(1, 3))[0]).sum() == 0
