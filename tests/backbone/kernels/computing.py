"""Parts of a network computed by a library, with any number of threads."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from hypothesis import strategies as st
from torch import Tensor

from backbone.arithmetic import Slice
from backbone.kernels.bindings import Library, sum_of
from backbone.kernels.steps import branch_step
from backbone.kernels.structures import OUTPUT
from backbone.layers import Branch

THREADS = st.sampled_from([1, 2, 3])


def output(library: Library, module: Branch, x: Tensor) -> Tensor:
    """What the branch gives."""
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


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many threads for each operation."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
