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
from torch import Tensor
from torch.nn import functional

from backbone.backend import Slice
from backbone.kernels.build import Precision
from backbone.kernels.errors import KernelsUnusable
from backbone.kernels.structures import NUMBER, POINTER, Adapter, Ending, Linear, Stem, Step, described
from backbone.memory import LargePages

FORMATS: dict[Precision, int] = {"fp32": 0, "bf16": 1, "int8": 2}  # as in numbers.h
_NUMBERS: dict[Precision, tuple[torch.dtype, int]] = {  # and how many of them have 32 bits
    "fp32": (torch.float32, 1),
    "bf16": (torch.bfloat16, 2),
    "int8": (torch.int8, 4),
}


class Library:
    """A loaded library, which stays loaded as long as the process, and weights in the order in which it wants them."""

    def __init__(self, path: Path, *, precision: Precision = "fp32") -> None:
        """Load it; products with frozen weights have factors of `precision`, and sums of 32 bits.

        Raises:
            KernelsUnusable: it is not a library that this process can load, its structures are laid out in another way
                than ours, PyTorch has no BLAS that it could call, or it does not multiply such factors.
        """
        self.precision = precision
        self._memory: list[Tensor] = []  # that layers point into
        self._pages = LargePages()
        try:
            library = ctypes.CDLL(str(path))
            _check_structures(library, path)
            self._run, self._embed = library.mimi_run, library.mimi_embed
            self.lanes: int = library.mimi_lanes()
            self._vectors: int = library.mimi_vectors()
            library.mimi_multiplies.restype = library.mimi_tiles.restype = ctypes.c_bool
            library.mimi_open(_sgemm())
            multiplies = library.mimi_multiplies(FORMATS[precision])
            self._factors: int = library.mimi_factors()
            self.tiles: bool = library.mimi_tiles()  # whether it uses AMX
        except (OSError, AttributeError) as error:
            raise KernelsUnusable(f"{path.name} cannot be loaded: {error}") from error
        if not multiplies:
            raise KernelsUnusable(f"{path.name} does not multiply in {precision}")
        sizes = (NUMBER,) * 3
        self._run.argtypes = (ctypes.POINTER(Step), NUMBER, POINTER, *sizes, POINTER, POINTER, ctypes.c_int)
        self._embed.argtypes = (ctypes.POINTER(Stem), POINTER, *sizes, POINTER, ctypes.c_int)
        self._run.restype = self._embed.restype = None

    def pad(self, bias: Tensor) -> Tensor:
        """Position bias (G·heads, T, T) as attention takes it: its last dimension padded to whole vectors."""
        return functional.pad(bias, (0, -bias.shape[-1] % self.lanes), value=-torch.inf).contiguous()

    def linear(self, weight: Tensor, bias: Tensor | None, *, exact: bool = False) -> Linear:
        """A frozen layer of weight (out, in); a copy of it is kept, cut into panels. The bias is not copied.

        With `exact` it is computed in float32 whatever the library's precision.
        """
        precision: Precision = "fp32" if exact else self.precision
        outputs, inputs = weight.shape
        wide = next(w for w in range(self._vectors * self.lanes, 0, -self.lanes) if outputs % w == 0)
        scales = offsets = None
        if precision == "int8":
            weight, scales = rounded(weight.detach())
            offsets = (-128 * weight.sum(1)).to(torch.int32)  # x is shifted by 128, see numbers.h
        panels = self._pages.copy(_panels(weight.detach(), wide, factors=self._factors, precision=precision))
        self._memory += [memory for memory in (panels, scales, offsets) if memory is not None]
        pointers = (memory.data_ptr() if memory is not None else None for memory in (panels, bias, scales, offsets))
        return Linear(*pointers, inputs, outputs, wide, FORMATS[precision])

    def embed(self, stem: Stem, images: Tensor) -> Tensor:
        """Tokens (B, H / side, W / side, C) of images (B, planes, H, W), whose sides are multiples of a patch's."""
        count, _, height, width = images.shape
        images = images.contiguous()
        out = images.new_empty((count, height // stem.side, width // stem.side, stem.patch.outputs))
        threads = torch.get_num_threads()
        self._embed(stem, images.data_ptr(), count, height, width, out.data_ptr(), threads)
        return out

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


def rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(out, in) as whole numbers from -127 to 127, and the scales (out) that they are to be multiplied by."""
    scales = weight.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / 127
    return torch.round(weight / scales[:, None]), scales


def _panels(weight: Tensor, wide: int, *, factors: int, precision: Precision) -> Tensor:
    """(out, in) -> (out / wide, in / n, wide, n): n numbers of `precision` lie together in a factor of 32 bits.

    Except in float32, the inputs are padded with zeros to a multiple of so many factors.
    """
    dtype, together = _NUMBERS[precision]
    multiple = 1 if precision == "fp32" else factors * together
    padded = functional.pad(weight, (0, -weight.shape[1] % multiple)).to(dtype)
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
