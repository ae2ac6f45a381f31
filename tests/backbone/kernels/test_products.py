"""Products with frozen weights do not depend on what is computed with them, nor on the threads."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backbone.kernels import multiplies_bf16, path_in
from backbone.kernels.bindings import Library
from tests.backbone.kernels.computing import THREADS, output, torch_threads
from tests.backbone.kernels.networks import mlp

PRECISIONS = ["fp32", "bf16"] if multiplies_bf16() else ["fp32"]


@pytest.fixture(scope="session", params=PRECISIONS)
def own(request: pytest.FixtureRequest, folder: Path) -> Library:
    """This machine's library, in each precision that it knows."""
    return Library(path_in(folder), bf16=request.param == "bf16")


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
