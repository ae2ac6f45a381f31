"""Memory of this process: the C library keeps large freed blocks, and long-lived blocks get pages of their own.

By default glibc maps each large block anew and unmaps it when it is freed. So every forward pass waits while the
kernel clears pages. Threads other than the first have arenas whose blocks end at 64 MiB; larger blocks are always
mapped anew. So all threads use one arena here. Environment variables could set the thresholds too, but this package
does not control how its program is started.

A long-lived block must not lie between blocks that come and go with every batch: it would fragment the heap, and
memory would grow. So it gets pages of its own, and freeing it returns them to the kernel.

A network's weights fill tens of thousands of small pages, more than a processor remembers the places of. Each forward
pass then looks up all of them again. So weights that every pass reads get large pages.
"""

import ctypes
import mmap
from contextlib import suppress

import torch
from torch import Tensor

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # glibc's malloc.h
_KEEP = 2**30  # bytes


def keep_large_blocks() -> bool:
    """Have the C library keep freed blocks. Call this before threads are started.

    Returns:
        Whether it keeps them. False if the C library is not glibc; then nothing was changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _KEEP), (_TRIM_THRESHOLD, _KEEP))
    done = [mallopt(name, value) == 1 for name, value in settings]  # all of them, even if one is refused
    return all(done)


def in_pages(count: int, dtype: torch.dtype) -> Tensor:
    """Zeros (count,) in pages of their own, apart from the C library's heap.

    Raises:
        OSError: the kernel has not enough memory, or `count` is zero.
    """
    return torch.frombuffer(_mapped(count * dtype.itemsize), dtype=dtype)


def _mapped(nbytes: int) -> mmap.mmap:
    """Zeros that no other process shares."""
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    return mmap.mmap(-1, nbytes, **private)


_LARGE, _BLOCK, _LINE = 2**21, 2**25, 64  # bytes: a large page, what is asked of the kernel at a time, a cache line


class LargePages:
    """Memory for tensors that are read in every pass, in pages of 2 MiB where the kernel gives such.

    Linux gives them on demand unless it is set to never do so; elsewhere pages are as small as usual.
    """

    def __init__(self) -> None:
        self._free = torch.empty(0, dtype=torch.uint8)

    def copy(self, tensor: Tensor) -> Tensor:
        """A contiguous copy, which begins at a cache line. Its memory lives as long as any copy in the same block.

        Raises:
            OSError: the kernel has not enough memory.
        """
        if not tensor.numel():
            return tensor.contiguous()
        if len(self._free) < tensor.nbytes:
            self._free = _block(max(_BLOCK, -(-tensor.nbytes // _LARGE) * _LARGE))
        place = self._free[: tensor.nbytes]
        self._free = self._free[-(-tensor.nbytes // _LINE) * _LINE :]
        return place.view(tensor.dtype).view(tensor.shape).copy_(tensor)


def _block(nbytes: int) -> Tensor:
    """So many bytes, which begin at a large page; `nbytes` is a multiple of those."""
    pages = _mapped(nbytes + _LARGE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            pages.madvise(mmap.MADV_HUGEPAGE)
    block = torch.frombuffer(pages, dtype=torch.uint8)
    return block[-block.data_ptr() % _LARGE :][:nbytes]
