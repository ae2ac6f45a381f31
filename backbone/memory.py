"""How this process keeps its memory: large blocks stay with it instead of going back to the kernel after every batch.

glibc maps every large block anew and gives it back when it is freed, so that each forward pass waits for the kernel to
clear its pages. And a thread other than the first has an arena of its own, whose blocks end at 64 MiB: what is larger
is mapped anew whatever the thresholds say. So there is one arena for all threads. Environment variables could say the
thresholds too, but a program that is started by somebody else cannot rely on them.

What lives long must not lie among what comes and goes with every batch: each such block splits what is free around it,
and memory grows until all of them have moved. So it gets pages of its own, which go back to the kernel with it.
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
        Whether it does: False where the C library is not glibc, and nothing was changed.
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
