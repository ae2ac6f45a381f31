"""The compiled kernels as functions of tensors.

Called through ctypes, which lets other threads of the interpreter run meanwhile. Tensors are float32, on the CPU and
contiguous; nobody checks that again. The structures are those of kernels.cpp, in the same order.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from backbone.arithmetic import Slice
from backbone.kernels.errors import KernelsUnusable

_POINTER, _NUMBER = ctypes.c_void_p, ctypes.c_int64


class Norm(ctypes.Structure):
    """Weight (C), bias (C) and epsilon of a LayerNorm."""

    _fields_ = [("weight", _POINTER), ("bias", _POINTER), ("epsilon", ctypes.c_double)]


class Linear(ctypes.Structure):
    """Weight (out, in), bias (out), and these two numbers, the input's first."""

    _fields_ = [("weight", _POINTER), ("bias", _POINTER), ("inputs", _NUMBER), ("outputs", _NUMBER)]


class Mlp(ctypes.Structure):
    """An MLP branch; `scale` (C) may be null."""

    _fields_ = [("norm", Norm), ("up", Linear), ("down", Linear), ("scale", _POINTER)]


class Windows(ctypes.Structure):
    """How maps are cut: of `heads` · `depth` channels, into windows (height, width) that are shifted down and right."""

    _fields_ = [(name, _NUMBER) for name in ("heads", "depth", "height", "width", "down", "right")]


class WindowAttention(ctypes.Structure):
    """An attention branch; `bias` as `Library.pad` gives it, `groups` 1 or the windows of a map."""

    _fields_ = [
        ("norm", Norm),
        ("qkv", Linear),
        ("proj", Linear),
        ("bias", _POINTER),
        ("groups", _NUMBER),
        ("windows", Windows),
    ]


class _Adapter(ctypes.Structure):
    _fields_ = [("down", _POINTER), ("up", _POINTER), ("width", _NUMBER), ("first", _NUMBER), ("images", _NUMBER)]


class Ending(ctypes.Structure):
    """What becomes of a branch's output; see `sum_of`."""

    _fields_ = [("adapters", ctypes.POINTER(_Adapter)), ("count", _NUMBER), ("added", ctypes.c_bool)]


BARE = Ending(None, 0, False)  # the output as it is
_ADDED = Ending(None, 0, True)


class Library:
    """A loaded library. Stays loaded as long as the process."""

    def __init__(self, path: Path) -> None:
        """Load it.

        Raises:
            KernelsUnusable: it is not a library that this process can load, or PyTorch has no BLAS that it could call.
        """
        try:
            library = ctypes.CDLL(str(path))
            self._mlp, self._attention = library.mimi_mlp, library.mimi_window_attention
            self.lanes: int = library.mimi_lanes()
            library.mimi_open(_sgemm())
        except (OSError, AttributeError) as error:
            raise KernelsUnusable(f"{path.name} cannot be loaded: {error}") from error
        rest = (ctypes.POINTER(Ending), _POINTER, ctypes.c_int)
        self._mlp.argtypes = (_POINTER, _POINTER, _NUMBER, _NUMBER, *rest)
        self._attention.argtypes = (_POINTER, _POINTER, _NUMBER, _NUMBER, _NUMBER, *rest)
        self._mlp.restype = self._attention.restype = None

    def pad(self, bias: Tensor) -> Tensor:
        """Position bias (G·heads, T, T) as `window_attention` takes it: its last dimension padded to whole vectors."""
        return functional.pad(bias, (0, -bias.shape[-1] % self.lanes), value=-torch.inf).contiguous()

    def mlp(self, branch: Mlp, x: Tensor, ending: Ending) -> Tensor:
        """What becomes of the MLP's output for `x` (B, ..., C); channels are multiples of the lanes."""
        out, images = torch.empty_like(x), len(x)
        tokens = x.numel() // (max(images, 1) * x.shape[-1])
        rest = (ctypes.byref(ending), out.data_ptr(), torch.get_num_threads())
        self._mlp(ctypes.byref(branch), x.data_ptr(), images, tokens, *rest)
        return out

    def window_attention(self, branch: WindowAttention, x: Tensor, ending: Ending) -> Tensor:
        """What becomes of attention inside the windows of maps (B, H, W, C); C as in `mlp`."""
        out = torch.empty_like(x)
        rest = (ctypes.byref(ending), out.data_ptr(), torch.get_num_threads())
        self._attention(ctypes.byref(branch), x.data_ptr(), *x.shape[:3], *rest)
        return out


def sum_of(live: Sequence[Slice]) -> Ending:
    """The ending where adapters act and what entered is added; `live` in the order of the slices."""
    if not live:
        return _ADDED
    adapters = (_Adapter * len(live))(*(_adapter(*part) for part in live))
    return Ending(adapters, len(live), True)


def _adapter(weights: tuple[Tensor, Tensor], rows: slice) -> _Adapter:
    down, up = weights
    return _Adapter(down.data_ptr(), up.data_ptr(), len(down), rows.start, rows.stop - rows.start)


def _sgemm() -> ctypes.c_void_p:
    """The single-precision product of the BLAS that PyTorch computes with.

    Raises:
        AttributeError: it has none under the name that every BLAS gives it.
        OSError: PyTorch's library does not lie where it should.
    """
    folder = Path(torch.__file__).parent / "lib"
    names = ("libtorch_cpu.so", "libtorch_cpu.dylib")
    path = next((folder / name for name in names if (folder / name).is_file()), folder / names[0])
    return ctypes.cast(ctypes.CDLL(str(path)).sgemm_, ctypes.c_void_p)
