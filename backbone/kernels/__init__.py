"""Kernels of our own for the CPU: what lies between a sub-layer's matrix products, each in one pass over memory.

A C++ compiler makes them in a second (`mimi compile`), for a level of x86-64 instructions or for any other processor;
without them the sub-layers are computed by PyTorch's own operators.

`kernels.cpp` is the arithmetic, `build` compiles it, `bindings` calls it, `branches` are sub-layers over it, `loading`
decides what is used.
"""

from backbone.kernels.build import PLAIN, build, default_folder, level
from backbone.kernels.errors import CompilerMissing, KernelError, KernelsUnusable
from backbone.kernels.loading import Loaded, build_missing, load, path_in

__all__ = [
    "PLAIN",
    "CompilerMissing",
    "KernelError",
    "KernelsUnusable",
    "Loaded",
    "build",
    "build_missing",
    "default_folder",
    "level",
    "load",
    "path_in",
]
