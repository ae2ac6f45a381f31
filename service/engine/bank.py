"""One task's weights in its two forms: packed as its file has them, and placed for a forward pass.

Both are one block of memory, in pages of its own because it outlives batches by far. Where the file holds float32 they
are the same block, and going from one form to the other moves a pointer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from adapters_store import Manifest, TaskAdapter
from backbone import SiteWeights
from backbone.memory import in_pages
from service.engine.accounting import Cost

Shape = tuple[int, ...]

_DTYPES = {np.dtype(np.float16): torch.float16, np.dtype(np.float32): torch.float32}


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A task's weights as they lie in its file.

    Attributes:
        sha256: hash of the artifact the weights came from.
        manifest: what the artifact says of itself.
        cost: FLOPs of one image, alone.
        block: all arrays, one after the other, float16 or float32.
        shapes: of the head's weight and bias, then of `down` and `up` of each live site.
    """

    sha256: str
    manifest: Manifest
    cost: Cost
    block: Tensor
    shapes: tuple[Shape, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the block."""
        return self.block.nbytes


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Resident:
    """A task's weights as they lie on the device, float32 in one block; compared by identity.

    Attributes:
        sha256: hash of the artifact the weights came from.
        manifest: what the artifact says of itself.
        sites: adapters of the live sites: `down` (N, M), `up` (M, N). Removed sites are absent.
        head: weight (K, F) and bias (K).
        first_site: the first live site, where its rows leave the trunk; the number of sites where none is live.
        cost: FLOPs of one image, alone.
        block: what all of these are views of.
        dtype: of the artifact's own arrays.
    """

    sha256: str
    manifest: Manifest
    sites: Mapping[int, SiteWeights]
    head: tuple[Tensor, Tensor]
    first_site: int
    cost: Cost
    block: Tensor
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the block."""
        return self.block.nbytes


def load(adapter: TaskAdapter, sha256: str, cost: Cost) -> Resident:
    """A task adapter's weights ready for a forward pass, in memory of their own."""
    return place(pack_file(adapter, sha256, cost))


def pack_file(adapter: TaskAdapter, sha256: str, cost: Cost) -> Packed:
    """Copy a task adapter's arrays into one block, in the dtype they come in."""
    arrays = [adapter.head_weight, adapter.head_bias]
    for index in sorted(adapter.sites):
        arrays += [adapter.sites[index].down, adapter.sites[index].up]
    shapes = tuple(array.shape for array in arrays)
    block = in_pages(sum(array.size for array in arrays), _DTYPES[arrays[0].dtype])
    for array, part in zip(arrays, _parts(block, shapes), strict=True):
        np.copyto(part.numpy(), array)  # through NumPy: the arrays are read-only, which torch warns about
    return Packed(sha256, adapter.manifest, cost, block, shapes)


def pack(resident: Resident) -> Packed:
    """A resident as its file has it; nothing is lost, for it was nothing else before."""
    pairs = [resident.sites[index] for index in sorted(resident.sites)]
    shapes = tuple(tuple(part.shape) for part in (*resident.head, *(part for pair in pairs for part in pair)))
    block = _as(resident.block, resident.dtype)
    return Packed(resident.sha256, resident.manifest, resident.cost, block, shapes)


def place(packed: Packed) -> Resident:
    """Weights ready for a forward pass."""
    block = _as(packed.block, torch.float32)
    weight, bias, *parts = _parts(block, packed.shapes)
    live = packed.manifest.live_sites
    pairs = zip(parts[::2], parts[1::2], strict=True)
    sites = {index: SiteWeights(down, up) for index, (down, up) in zip(live, pairs, strict=True)}
    return Resident(
        sha256=packed.sha256,
        manifest=packed.manifest,
        sites=sites,
        head=(weight, bias),
        first_site=min(live, default=len(packed.manifest.widths)),
        cost=packed.cost,
        block=block,
        dtype=packed.block.dtype,
    )


def _as(block: Tensor, dtype: torch.dtype) -> Tensor:
    """The block itself if that is its dtype, or a copy."""
    return block if block.dtype == dtype else in_pages(block.numel(), dtype).copy_(block)


def _parts(block: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    """Views of a block, in their shapes."""
    flat = torch.split(block, [int(np.prod(shape)) for shape in shapes])
    return [part.view(shape) for part, shape in zip(flat, shapes, strict=True)]
