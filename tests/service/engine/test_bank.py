"""Bytes are counted as they lie, contents are kept once, and evicted weights live as long as a row needs them."""

from dataclasses import replace

import numpy as np
import torch

from adapters_store import SiteArrays, TaskAdapter
from service.engine import Cost, Resident, Usage
from service.engine.bank import Bank, load


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


def test_bytes_are_those_of_float32_whatever_the_file_holds(adapters: list[TaskAdapter]) -> None:
    full = adapters[1]
    half = replace(
        full,
        sites={i: SiteArrays(*(part.astype(np.float16) for part in site)) for i, site in full.sites.items()},
        head_weight=full.head_weight.astype(np.float16),
        head_bias=full.head_bias.astype(np.float16),
    )
    for adapter in (full, half):
        loaded = resident(adapter)
        assert loaded.nbytes == 4 * parameters(adapter)
        assert {tensor.dtype for site in loaded.sites.values() for tensor in site} == {torch.float32}


def test_one_content_is_resident_once(adapters: list[TaskAdapter]) -> None:
    bank, first, second = Bank(), resident(adapters[0]), resident(adapters[0])
    assert bank.put(first) is first
    assert bank.put(second) is first
    assert bank.get("a") is first
    assert bank.usage() == Usage(1, first.nbytes, 0, 0)


def test_evicting_says_how_many_bytes_go(adapters: list[TaskAdapter]) -> None:
    bank = Bank()
    size = bank.put(resident(adapters[0])).nbytes
    assert bank.evict("a") == size
    assert bank.evict("a") == 0
    assert bank.get("a") is None


def test_evicted_weights_are_counted_until_the_last_row_lets_go(adapters: list[TaskAdapter]) -> None:
    bank = Bank()
    held = bank.put(resident(adapters[0]))
    bank.evict("a")
    assert bank.usage() == Usage(0, 0, 1, held.nbytes)
    del held
    assert bank.usage() == Usage(0, 0, 0, 0)
