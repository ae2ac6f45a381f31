"""Memory of this process: large freed blocks stay with it, and blocks that live long get pages of their own.

By default glibc maps each large block anew and unmaps it when it is freed, so every forward pass waits for the kernel
to clear pages. Threads other than the first have arenas whose blocks end at 64 MiB, and larger blocks are mapped anew
whatever the thresholds are. So all threads use one arena here. Environment variables could set the thresholds too, but
a library cannot rely on how its program was started.

A block that lives long must not lie between blocks that come and go with every batch: it would split the free memory
around it, and memory would grow. So it gets pages of its own, which return to the kernel with it.
"""

import ctypes
import mmap

import torch
from torch import Tensor

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # glibc's malloc.h
_KEEP = 2**30  # bytes


def keep_large_blocks() -> bool:
    """Have the C library keep freed blocks; to be called before threads are started.

    Returns:
        Whether it does: False if the C library is not glibc, and nothing was changed.
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
        OSError: the kernel has no such memory, or `count` is zero.
    """
    nbytes = count * dtype.itemsize
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    return torch.frombuffer(mmap.mmap(-1, nbytes, **private), dtype=dtype)
