"""Products with frozen weights do not depend on what is computed with them, nor on the threads."""

from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backbone.kernels import Precision, load, multiplies, path_in
from backbone.kernels.bindings import Library
from tests.backbone.kernels.computing import THREADS, output, torch_threads
from tests.backbone.kernels.networks import mlp, swin

PRECISIONS = [each for each in get_args(Precision) if multiplies(each)]


@pytest.fixture(scope="session", params=PRECISIONS)
def own(request: pytest.FixtureRequest, folder: Path) -> Library:
    """This machine's library, in each precision that it knows."""
    return Library(path_in(folder), precision=request.param)


@given(st.integers(1, 9), st.integers(1, 12), THREADS, st.data())
@settings(deadline=None, max_examples=60)
def test_an_image_s_result_is_to_the_bit_what_it_is_alone(
    own: Library, images: int, sixteens: int, threads: int, data: st.DataObject
) -> None:
    module, x = mlp(16 * sixteens, 16 * (13 - sixteens)), torch.randn(images, 21, 16 * sixteens)
    chosen = data.draw(st.integers(0, images - 1))
    alone = output(own, module, x[chosen : chosen + 1])
    with torch_threads(threads):
        assert torch.equal(output(own, module, x)[chosen], alone[0])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("threads", [1, 2])
def test_so_is_what_a_whole_network_gives(folder: Path, precision: Precision, threads: int) -> None:
    network = swin(depths=(2, 2), num_heads=(2, 4))
    kernels, sites = load(network, folder, precision=precision), len(network.sites)
    assert kernels.compiled == sites
    x = torch.randn(7, 8, 8, 16)
    with torch_threads(threads):
        together = kernels.advance(x, 0, sites)
        for image in range(len(x)):
            assert torch.equal(kernels.advance(x[image : image + 1], 0, sites)[0], together[image])
