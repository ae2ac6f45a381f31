"""The task adapter file: one safetensors container with one manifest, and tensors that fit it exactly.

`pack` and `unpack` mirror each other, and `pack` asks `unpack` before it hands bytes out: the writer refuses what the
reader would refuse. Nothing here runs a network, so whether the golden logits are right is for others to recompute.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters_store import errors
from adapters_store.container import read_container, write_container
from adapters_store.limits import DEFAULT_LIMITS, ArtifactLimits
from adapters_store.manifest import Manifest
from adapters_store.manifest_text import read_manifest, write_manifest
from adapters_store.tensors import (
    GOLDEN_IMAGE,
    GOLDEN_LOGITS,
    HEAD_BIAS,
    HEAD_WEIGHT,
    check_tensors,
    down_name,
    up_name,
)

MANIFEST_KEY = "manifest"

Weights = NDArray[np.floating[Any]]


class SiteArrays(NamedTuple):
    """The two matrices of one live site."""

    down: Weights  # (N, M)
    up: Weights  # (M, N)


@dataclass(frozen=True, slots=True, eq=False)
class TaskAdapter:
    """All adapters of one task, its head, its manifest, and one image with the logits it must give."""

    manifest: Manifest
    sites: Mapping[int, SiteArrays]  # live sites only
    head_weight: Weights  # (K, F)
    head_bias: Weights  # (K,)
    golden_image: NDArray[np.uint8]  # (h, w, 3), as decoded
    golden_logits: NDArray[np.float32]  # (K,)


def digest(data: bytes) -> str:
    """Return the SHA-256 (hex) that names these bytes everywhere."""
    return hashlib.sha256(data).hexdigest()


def pack(adapter: TaskAdapter, *, limits: ArtifactLimits = DEFAULT_LIMITS) -> bytes:
    """Write a task adapter file; the same adapter always gives the same bytes.

    Weights are stored in the dtype they come in: all float32 or all float16.

    Raises:
        ArtifactError: The file would not be accepted by `unpack`.
    """
    tensors = {
        HEAD_WEIGHT: adapter.head_weight,
        HEAD_BIAS: adapter.head_bias,
        GOLDEN_IMAGE: adapter.golden_image,
        GOLDEN_LOGITS: adapter.golden_logits,
    }
    for site, weights in adapter.sites.items():
        tensors |= {down_name(site): weights.down, up_name(site): weights.up}
    data = write_container({MANIFEST_KEY: write_manifest(adapter.manifest)}, tensors)
    unpack(data, limits=limits)
    return data


def unpack(data: bytes, *, limits: ArtifactLimits = DEFAULT_LIMITS) -> TaskAdapter:
    """Read and check a task adapter file. Arrays are read-only views of `data`.

    Raises:
        ArtifactError: One subclass for each way a file can be bad; see `errors`.
    """
    container = read_container(data, limits)
    manifest = read_manifest(_manifest_text(container.metadata), limits)
    tensors = container.tensors
    check_tensors(manifest, tensors, limits)
    return TaskAdapter(
        manifest=manifest,
        sites={site: SiteArrays(tensors[down_name(site)], tensors[up_name(site)]) for site in manifest.live_sites},
        head_weight=tensors[HEAD_WEIGHT],
        head_bias=tensors[HEAD_BIAS],
        golden_image=tensors[GOLDEN_IMAGE],
        golden_logits=tensors[GOLDEN_LOGITS],
    )


def _manifest_text(metadata: Mapping[str, str]) -> str:
    if MANIFEST_KEY not in metadata:
        raise errors.MissingManifest(f"the metadata has no {MANIFEST_KEY!r}")
    if len(metadata) > 1:
        raise errors.UnexpectedMetadata(f"the metadata holds more than {MANIFEST_KEY!r}")
    return metadata[MANIFEST_KEY]
