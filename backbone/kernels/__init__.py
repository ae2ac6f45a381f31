"""Kernels of our own for the CPU: sub-layers in a row, with the adapters behind them, in one call.

A C++ compiler makes them in two seconds (`mimi compile`), for a level of x86-64 instructions or for any other
processor; without them everything is computed by PyTorch's own operators. What the frozen network gives for an image
does not depend on what is computed with it. Products in bfloat16 are twice as fast, where they are asked for and the
processor has them.

`kernels.cpp` and what it includes are the arithmetic, `build` compiles it, `bindings` calls it, `steps` puts sub-layers
into its words (`structures`), `compiled` is a network over it, `loading` decides what is used.
"""

from backbone.kernels.build import PLAIN, build, default_folder, level, multiplies_bf16
from backbone.kernels.errors import CompilerMissing, KernelError, KernelsUnusable
from backbone.kernels.loading import best, build_missing, load, path_in

__all__ = [
    "PLAIN",
    "CompilerMissing",
    "KernelError",
    "KernelsUnusable",
    "best",
    "build",
    "build_missing",
    "default_folder",
    "level",
    "load",
    "multiplies_bf16",
    "path_in",
]
