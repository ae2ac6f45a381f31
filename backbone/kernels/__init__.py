"""Compiled kernels for the CPU: consecutive sub-layers, with their adapters, in one call.

A C++ compiler makes them in two seconds (`mimi compile`), for a level of x86-64 instructions or for any other
processor. Without them PyTorch's operators compute. An image's result does not depend on what else is in its batch.
Products in bfloat16 are twice as fast, on request, on processors that have the instruction.

`kernels.cpp` and its headers compute; `build` compiles them and `bindings` calls them. `steps` translates sub-layers
into `structures`. `loading` makes a backend of them and decides whether it is used.
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
