"""Weights are copied exactly, and counted in the bytes that they lie in, in both of their forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from adapters_store import SiteArrays, TaskAdapter
from service.engine import Cost, Resident
from service.engine.bank import load, pack, pack_file, place


def resident(adapter: TaskAdapter, sha256: str = "a") -> Resident:
    return load(adapter, sha256, Cost(1, 0))


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


@pytest.mark.parametrize("half", [False, True])
def test_packed_they_take_the_bytes_of_the_file_and_lose_nothing(adapters: list[TaskAdapter], half: bool) -> None:
    for full in adapters:
        adapter = halved(full) if half else full
        first = pack_file(adapter, "a", Cost(1, 0))
        assert first.nbytes == (2 if half else 4) * parameters(adapter)
        packed = pack(place(pack(place(first))))
        assert (packed.sha256, packed.manifest, packed.cost) == ("a", adapter.manifest, Cost(1, 0))
        assert (packed.shapes, packed.block.dtype) == (first.shapes, first.block.dtype)
        assert torch.equal(packed.block, first.block)


def test_float32_changes_its_form_without_a_copy(adapters: list[TaskAdapter]) -> None:
    loaded = resident(adapters[0])
    assert place(pack(loaded)).block.data_ptr() == loaded.block.data_ptr()
