"""Products in bfloat16: they equal products of rounded numbers, and are refused on processors without them."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from backbone.kernels import KernelsUnusable, load, path_in
from backbone.kernels import multiplies as known
from backbone.kernels.bindings import Library
from backbone.kernels.build import AMX, BF16, PLAIN, build, level
from backbone.layers import GlobalAttention, Mlp, WindowAttention
from tests.backbone.kernels.computing import THREADS, added, output, torch_threads
from tests.backbone.kernels.networks import mlp, swin, vit
from tests.backbone.kernels.test_branches import attentions

multiplies = pytest.mark.skipif(not known("bf16"), reason="needs a processor with AVX-512 BF16")


@pytest.fixture(scope="session")
def lowered(folder: Path) -> Library:
    """This machine's library, which multiplies in bfloat16."""
    return Library(path_in(folder), precision="bf16")


@pytest.fixture(scope="session")
def by_vectors(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The library of a processor without AMX."""
    return Library(build(tmp_path_factory.mktemp("vectors"), BF16), precision="bf16")


def rounded(x: Tensor) -> Tensor:
    return x.to(torch.bfloat16).float()


def rough_gelu(x: Tensor) -> Tensor:
    """As the kernels compute what they round afterwards: see rows.h."""
    z = x.clamp(-4, 4)
    coefficients = (
        3.97870272397995e-01,
        -6.455440074205399e-02,
        8.763683959841728e-03,
        -8.121857536025345e-04,
        4.776371133630164e-05,
        -1.5888188045209972e-06,
        2.2588055870187418e-08,
    )
    return x * (0.5 + z * sum(c * z ** (2 * power) for power, c in enumerate(coefficients)))


def test_gelu_before_rounding_is_as_near_as_it_says() -> None:
    x = torch.linspace(-20, 20, 100_001)
    assert float((rough_gelu(x) - functional.gelu(x)).abs().max()) < 2e-4


def by_rounding(module: Mlp, x: Tensor) -> Tensor:
    """The MLP in float32, with every factor of its products rounded."""
    up, down = module.fc1, module.fc2
    hidden = rough_gelu(functional.linear(rounded(module.norm(x)), rounded(up.weight), up.bias))
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
@given(attentions(), THREADS)
@settings(deadline=None, max_examples=60)
def test_attention_is_near_the_modules_whatever_its_shape(
    lowered: Library, by_vectors: Library, case: tuple[WindowAttention, Tensor], threads: int
) -> None:
    """On a processor with AMX the first library computes the attention's products by tiles, the second never does."""
    module, x = case
    module.position_table.mul_(0.1)  # else one key has all the weight
    module.bias.copy_(module._sum_bias())
    with torch_threads(threads):
        for library in (lowered, by_vectors):
            assert away(output(library, module, x), module(x)) < 2e-2
            assert away(added(library, module, x), x + module(x)) < 2e-2


@multiplies
def test_attention_over_a_whole_map_is_near_the_modules(lowered: Library) -> None:
    for tokens in (1, 16, 17, 197, 577):
        module, x = (
            GlobalAttention(nn.LayerNorm(64), nn.Linear(64, 192), nn.Linear(64, 64), heads=2),
            torch.randn(2, tokens, 64),
        )
        module.requires_grad_(requires_grad=False)
        assert away(output(lowered, module, x), module(x)) < 2e-2


@multiplies
def test_scores_far_apart_and_not_finite_are_a_choice_and_stay_in_their_image(lowered: Library) -> None:
    module = swin(img_size=32, embed_dim=16).sites[0].branch
    assert isinstance(module, WindowAttention)
    module.qkv.weight[16:32].mul_(100)
    module.qkv.weight[:16].mul_(100)  # keys and queries
    x = torch.randn(2, 8, 8, 16)
    expected, given = module(x), output(lowered, module, x)
    assert given.isfinite().all()
    assert float((given - expected).abs().median()) < 0.05
    x[1, 1, 2, 3] = torch.nan
    given = output(lowered, module, x)
    assert given[0].isfinite().all()
    assert given[1].isnan().any()


@multiplies
def test_a_network_in_bfloat16_is_near_itself_in_float32(folder: Path) -> None:
    for network, shape in ((swin(depths=(2, 2), num_heads=(2, 4)), (3, 8, 8, 16)), (vit(), (3, 17, 32))):
        exact, near = load(network, folder), load(network, folder, precision="bf16")
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
        load(network, folder, precision="bf16")


@multiplies
def test_numbers_that_are_none_stay_where_they_are(lowered: Library) -> None:
    module, x = mlp(16, 64), torch.randn(3, 16)
    x[1, 2] = torch.nan
    given = output(lowered, module, x)
    assert given[1].isnan().all()
    assert given[::2].isfinite().all()


def test_a_library_without_such_products_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KernelsUnusable, match="does not multiply in bf16"):
        Library(build(tmp_path, PLAIN), precision="bf16")
