"""Packing and unpacking task adapters: what goes in comes out, always as the same bytes."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from adapters_store import SiteArrays, TaskAdapter, digest, pack, unpack
from adapters_store.manifest import write_manifest
from tests.adapters_store.adapters import make_adapter, make_manifest


def tensors_of(adapter: TaskAdapter) -> dict[str, np.ndarray[Any, Any]]:
    named = {
        f"sites.{site}.{half}": getattr(pair, half) for site, pair in adapter.sites.items() for half in pair._fields
    }
    named |= {"head.weight": adapter.head_weight, "head.bias": adapter.head_bias}
    return named | {"golden.image": adapter.golden_image, "golden.logits": adapter.golden_logits}


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_what_is_packed_is_unpacked(dtype: type[np.floating[Any]]) -> None:
    adapter = make_adapter(dtype=dtype)
    again = unpack(pack(adapter))
    assert again.manifest == adapter.manifest
    for name, array in tensors_of(adapter).items():
        found = tensors_of(again)[name]
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


def test_the_same_adapter_gives_the_same_bytes() -> None:
    shuffled = make_adapter()
    shuffled = dataclasses.replace(shuffled, sites=dict(reversed(list(shuffled.sites.items()))))
    assert pack(shuffled) == pack(make_adapter())


def test_bytes_are_those_of_the_safetensors_library() -> None:
    adapter = make_adapter(dtype=np.float16)
    metadata = {"manifest": write_manifest(adapter.manifest)}
    assert pack(adapter) == safetensors.numpy.save(tensors_of(adapter), metadata)


def test_the_safetensors_library_reads_the_same_values() -> None:
    adapter = make_adapter()
    loaded = safetensors.numpy.load(pack(adapter))
    for name, array in tensors_of(adapter).items():
        np.testing.assert_array_equal(loaded[name], array)


def test_a_file_without_live_sites_is_a_linear_probe() -> None:
    assert unpack(pack(make_adapter(make_manifest(widths=(0, 0))))).sites == {}


def test_unpacked_arrays_are_read_only_views() -> None:
    weight = unpack(pack(make_adapter())).head_weight
    assert weight.base is not None
    with pytest.raises(ValueError, match="read-only"):
        weight[0, 0] = 1


def test_arrays_in_any_memory_order_and_byte_order_are_packed_alike() -> None:
    adapter = make_adapter()
    swapped = {
        site: SiteArrays(np.asfortranarray(pair.down), pair.up.astype(">f4")) for site, pair in adapter.sites.items()
    }
    assert pack(dataclasses.replace(adapter, sites=swapped)) == pack(adapter)


def test_the_digest_is_sha256_in_hex() -> None:
    assert digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
