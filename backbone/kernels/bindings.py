"""The compiled kernels as functions of tensors.

Called through ctypes, which lets other threads of the interpreter run meanwhile. Tensors are float32, on the CPU and
contiguous; nobody checks that again.
"""

import ctypes
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from backbone.kernels.errors import KernelsUnusable


class Windows(NamedTuple):
    """How maps are cut: of how many heads of which depth, into windows of (height, width) shifted by (down, right)."""

    heads: int
    depth: int
    height: int
    width: int
    down: int
    right: int


class _Map(ctypes.Structure):
    """`Map` of kernels.cpp."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in ("images", "height", "width", "heads", "depth", "rows", "columns", "down", "right")
    ]


class Library:
    """A loaded library. Stays loaded as long as the process."""

    def __init__(self, path: Path) -> None:
        """Load it.

        Raises:
            KernelsUnusable: it is not a library that this process can load.
        """
        try:
            library = ctypes.CDLL(str(path))
            self._attention, self._gelu = library.mimi_window_attention, library.mimi_bias_gelu
            self.lanes: int = library.mimi_lanes()
        except (OSError, AttributeError) as error:
            raise KernelsUnusable(f"{path.name} cannot be loaded: {error}") from error
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._attention.argtypes = (pointer, pointer, pointer, number, ctypes.POINTER(_Map), pointer, ctypes.c_int)
        self._gelu.argtypes = (pointer, pointer, number, number, ctypes.c_int)
        self._attention.restype = self._gelu.restype = None

    def pad(self, bias: Tensor) -> Tensor:
        """Position bias (G·heads, T, T) as `window_attention` takes it: its last dimension padded to whole vectors."""
        return functional.pad(bias, (0, -bias.shape[-1] % self.lanes), value=-torch.inf).contiguous()

    def window_attention(self, qkv: Tensor, qkv_bias: Tensor, bias: Tensor, windows: Windows, out: Tensor) -> None:
        """Attention inside (shifted) windows of maps.

        Args:
            qkv: (B, H, W, 3C) queries, keys and values, without their bias; H and W are multiples of the window's.
            qkv_bias: (3C).
            bias: see `pad`; G is 1, or the windows of one map.
            windows: how maps are cut.
            out: (B, H, W, C), is written.
        """
        images, height, width, _ = qkv.shape
        shape = _Map(images, height, width, *windows)
        groups = bias.shape[0] // windows.heads
        pointers = (qkv.data_ptr(), qkv_bias.data_ptr(), bias.data_ptr())
        self._attention(*pointers, groups, ctypes.byref(shape), out.data_ptr(), torch.get_num_threads())

    def bias_gelu_(self, x: Tensor, bias: Tensor) -> None:
        """GELU of `x` (rows, columns) plus `bias` (columns), in place; columns are a multiple of the lanes."""
        self._gelu(x.data_ptr(), bias.data_ptr(), *x.shape, torch.get_num_threads())
