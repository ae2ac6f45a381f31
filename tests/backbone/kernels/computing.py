"""Parts of a network computed by a library, with any number of threads."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from hypothesis import strategies as st
from torch import Tensor

from backbone import SiteWeights
from backbone.backend import Slice, adapt_slices
from backbone.kernels.bindings import Library, sum_of
from backbone.kernels.steps import branch_step
from backbone.kernels.structures import OUTPUT
from backbone.layers import Branch

THREADS = st.sampled_from([1, 2, 3])


def output(library: Library, module: Branch, x: Tensor) -> Tensor:
    """The branch's output."""
    step = branch_step(module, x.shape[1], library)
    assert step is not None
    return library.run([step.only_branch(OUTPUT)], x)


def added(library: Library, module: Branch, x: Tensor, live: Sequence[Slice] = ()) -> Tensor:
    """`x` plus that, adapted."""
    step = branch_step(module, x.shape[1], library)
    assert step is not None
    return library.run([step.ending_in(sum_of(live))], x)


def assert_close(given: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-5)


@st.composite
def slices(draw: st.DrawFn, rows: int, channels: int) -> list[Slice]:
    """Adapters of any width on some of so many rows."""
    edges = sorted(draw(st.lists(st.integers(0, rows), max_size=6, unique=True)))
    widths, acts = (
        draw(st.lists(st.integers(1, 20), min_size=6, max_size=6)),
        draw(st.lists(st.booleans(), min_size=6, max_size=6)),
    )
    return [
        (SiteWeights(torch.randn(width, channels) / 6, torch.randn(channels, width) / 6), slice(*pair))
        for pair, width, act in zip(pairwise(edges), widths, acts, strict=False)
        if act
    ]


def assert_adapted(library: Library, module: Branch, x: Tensor, live: Sequence[Slice]) -> None:
    """`added` equals the result of PyTorch's operators."""
    assert_close(added(library, module, x, live), adapt_slices(module(x), live, x))


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Use `count` threads for each operation."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
