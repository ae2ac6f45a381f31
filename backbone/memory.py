"""Memory of this process: the C library keeps large freed blocks, and long-lived blocks get pages of their own.

By default glibc maps each large block anew and unmaps it when it is freed. So every forward pass waits while the
kernel clears pages. Threads other than the first have arenas whose blocks end at 64 MiB; larger blocks are always
mapped anew. So all threads use one arena here. Environment variables could set the thresholds too, but this package
does not control how its program is started.

A long-lived block must not lie between blocks that come and go with every batch: it would fragment the heap, and
memory would grow. So it gets pages of its own, and freeing it returns them to the kernel.
"""

import ctypes
import mmap

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
    nbytes = count * dtype.itemsize
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    return torch.frombuffer(mmap.mmap(-1, nbytes, **private), dtype=dtype)
