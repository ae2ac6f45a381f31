"""Weights are copied exactly, in float32, and counted in the bytes that they lie in."""

from dataclasses import replace

import numpy as np
import torch

from adapters_store import SiteArrays, TaskAdapter
from service.engine import Cost, Resident
from service.engine.weights import resident_of


def resident(adapter: TaskAdapter, sha256: str = "a") -> Resident:
    return resident_of(adapter, sha256, Cost(1, 0))


def parameters(adapter: TaskAdapter) -> int:
    provenance = adapter.manifest.provenance
    return provenance.adapter_parameters + provenance.head_parameters


def test_weights_are_copied_exactly_and_in_float32(adapters: list[TaskAdapter]) -> None:
    adapter = adapters[2]
    loaded = resident(adapter)
    assert loaded.sites.keys() == adapter.sites.keys()
    for index, site in adapter.sites.items():
        assert np.array_equal(loaded.sites[index].down.numpy(), site.down)
        assert np.array_equal(loaded.sites[index].up.numpy(), site.up)
    assert np.array_equal(loaded.head[0].numpy(), adapter.head_weight)
    assert np.array_equal(loaded.head[1].numpy(), adapter.head_bias)


def halved(full: TaskAdapter) -> TaskAdapter:
    """The same in float16."""
    return replace(
        full,
        sites={i: SiteArrays(*(part.astype(np.float16) for part in site)) for i, site in full.sites.items()},
        head_weight=full.head_weight.astype(np.float16),
        head_bias=full.head_bias.astype(np.float16),
    )


def test_bytes_are_those_of_float32_whatever_the_file_holds(adapters: list[TaskAdapter]) -> None:
    full = adapters[1]
    for adapter in (full, halved(full)):
        loaded = resident(adapter)
        assert loaded.nbytes == 4 * parameters(adapter)
        assert {tensor.dtype for site in loaded.sites.values() for tensor in site} == {torch.float32}
