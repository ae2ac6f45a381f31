"""The compiled kernels as functions of tensors.

They are called through ctypes, which lets other threads of the interpreter run meanwhile. Tensors must be float32, on
the CPU and contiguous; the library does not check that.
"""

import ctypes
from collections.abc import Sequence
from itertools import zip_longest
from math import prod
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from backbone.backend import Slice
from backbone.kernels.errors import KernelsUnusable
from backbone.kernels.structures import NUMBER, POINTER, Adapter, Ending, Linear, Step, described


class Library:
    """A loaded library, which stays loaded as long as the process, and weights in the order in which it wants them."""

    def __init__(self, path: Path, *, bf16: bool = False) -> None:
        """Load it; with `bf16`, products with frozen weights have bfloat16 factors and float32 sums.

        Raises:
            KernelsUnusable: it is not a library that this process can load, its structures are laid out in another way
                than ours, PyTorch has no BLAS that it could call, or the processor does not multiply bfloat16.
        """
        self._bf16 = bf16
        self._panels: list[Tensor] = []  # memory that layers point into
        try:
            library = ctypes.CDLL(str(path))
            _check_structures(library, path)
            self._run = library.mimi_run
            self.lanes: int = library.mimi_lanes()
            self._vectors: int = library.mimi_vectors()
            library.mimi_bfloat16.restype = ctypes.c_bool
            multiplies = library.mimi_bfloat16()
            library.mimi_open(_sgemm())
            self._channels: int = library.mimi_bfloat16_channels() if bf16 else 1
            library.mimi_tiles.restype = ctypes.c_bool
            self.tiles: bool = bf16 and library.mimi_tiles()
        except (OSError, AttributeError) as error:
            raise KernelsUnusable(f"{path.name} cannot be loaded: {error}") from error
        if bf16 and not multiplies:
            raise KernelsUnusable("this processor does not multiply bfloat16 (no AVX-512 BF16)")
        sizes = (NUMBER,) * 3
        self._run.argtypes = (ctypes.POINTER(Step), NUMBER, POINTER, *sizes, POINTER, POINTER, ctypes.c_int)
        self._run.restype = None

    def pad(self, bias: Tensor) -> Tensor:
        """Position bias (G·heads, T, T) as attention takes it: its last dimension padded to whole vectors."""
        return functional.pad(bias, (0, -bias.shape[-1] % self.lanes), value=-torch.inf).contiguous()

    def linear(self, layer: nn.Linear) -> Linear:
        """A frozen layer; a copy of its weight is kept, cut into panels."""
        outputs, inputs = layer.out_features, layer.in_features
        wide = next(w for w in range(self._vectors * self.lanes, 0, -self.lanes) if outputs % w == 0)
        panels = _panels(layer.weight.detach(), wide, channels=self._channels)
        self._panels.append(panels)
        bias = None if layer.bias is None else layer.bias.data_ptr()
        return Linear(panels.data_ptr(), bias, inputs, outputs, wide, self._bf16)

    def run(self, steps: Sequence[Step], x: Tensor) -> Tensor:
        """Compute consecutive sub-layers in one call: from `x` (B, H, W, C), or (B, ..., C) if all of them are MLPs.

        Channels are multiples of the lanes; where tokens are merged, height and width are even.
        """
        images, height, width, channels = _map_of(x)
        merged = sum(bool(step.merging) for step in steps)
        shape = (images, height >> merged, width >> merged, channels << merged) if merged else x.shape
        x = x.contiguous()
        size = x.numel() >> bool(steps[0].merging)  # from there on it only gets smaller
        buffers = x.new_empty((min(2, len(steps) + merged), size))
        self._run(
            (Step * len(steps))(*steps), len(steps), x.data_ptr(), images, height, width,
            buffers[0].data_ptr(), buffers[-1].data_ptr(), torch.get_num_threads(),
        )  # fmt: skip
        return buffers[0, : x.numel() >> merged].view(shape)


def _check_structures(library: ctypes.CDLL, path: Path) -> None:
    """Compare the library's structures with ours before anything is passed to it.

    Raises:
        AttributeError: it does not describe them.
        KernelsUnusable: a name, an order, a size or an offset is another.
    """
    library.mimi_structures.restype = ctypes.c_char_p
    theirs, ours = library.mimi_structures().decode().splitlines(), described().splitlines()
    for found, expected in zip_longest(theirs, ours, fillvalue="nothing"):
        if found != expected:
            raise KernelsUnusable(f"{path.name} was made for other structures: {found}, not {expected}")


def sum_of(live: Sequence[Slice]) -> Ending:
    """The ending in which adapters act and the branch's input is added; `live` in the order of the slices."""
    adapters = (Adapter * len(live))(*(_adapter(*part) for part in live))
    return Ending(adapters, len(live), True)


def _panels(weight: Tensor, wide: int, *, channels: int) -> Tensor:
    """(out, in) -> (out / wide, in, wide, 1); if `channels` > 1, in bfloat16 (out / wide, in / 2, wide, 2).

    Then the inputs are padded with zeros to a multiple of `channels`.
    """
    dtype, together = (torch.float32, 1) if channels == 1 else (torch.bfloat16, 2)
    padded = functional.pad(weight, (0, -weight.shape[1] % channels)).to(dtype)
    return padded.view(len(weight) // wide, wide, -1, together).transpose(1, 2).contiguous()


def _map_of(x: Tensor) -> tuple[int, int, int, int]:
    """Images, height, width and channels of tokens; tokens that are no map count as a map of width 1."""
    images, *places, channels = x.shape
    height, width = places if len(places) > 1 else (prod(places), 1)
    return images, height, width, channels


def _adapter(weights: tuple[Tensor, Tensor], rows: slice) -> Adapter:
    down, up = weights
    return Adapter(down.data_ptr(), up.data_ptr(), len(down), rows.start, rows.stop - rows.start)


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
