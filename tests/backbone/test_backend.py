"""Adapters on slices of a batch, by PyTorch's operators."""

import torch

from backbone import SiteWeights, adapt
from backbone.backend import adapt_slices


def test_rows_without_a_live_adapter_get_the_sum_alone() -> None:
    h, x = torch.randn(2, 4, 3, 3, 8)
    before, weights = h.clone(), SiteWeights(torch.randn(2, 8), torch.randn(8, 2))
    out = adapt_slices(h, [(weights, slice(1, 2)), (weights, slice(3, 4))], x)
    assert out.data_ptr() == h.data_ptr()
    assert torch.equal(out[[0, 2]], (before + x)[[0, 2]])
    torch.testing.assert_close(out[[1, 3]], (adapt(before, weights) + x)[[1, 3]])


def test_a_transposed_activation_is_adapted_all_the_same() -> None:
    h = torch.randn(8, 5, 2).transpose(0, 2)  # (2, 5, 8), not contiguous
    weights, x = SiteWeights(torch.randn(3, 8), torch.randn(8, 3)), torch.randn(2, 5, 8)
    torch.testing.assert_close(adapt_slices(h, [(weights, slice(0, 2))], x), adapt(h, weights) + x)
