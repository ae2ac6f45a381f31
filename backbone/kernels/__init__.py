"""Compiled kernels for the CPU: consecutive sub-layers, with their adapters, in one call.

A C++ compiler makes them in two seconds (`mimi compile`), for a level of x86-64 instructions or for any other
processor. Without them PyTorch's operators compute. An image's result does not depend on what else is in its batch.
Products of bfloat16 or int8 numbers are faster, on request, on processors that have the instructions.

`kernels.cpp` and its headers compute; `build` compiles them and `bindings` calls them. `steps` translates sub-layers
into `structures`. `loading` makes a backend of them and decides whether it is used, `choosing` in which numbers.
"""

from backbone.kernels.build import PLAIN, Precision, build, default_folder, level, multiplies
from backbone.kernels.choosing import Accepts, Measurement, kept, measure, precision_in_force
from backbone.kernels.errors import CompilerMissing, KernelError, KernelsUnusable
from backbone.kernels.loading import best, build_missing, load, path_in

__all__ = [
    "PLAIN",
    "Accepts",
    "CompilerMissing",
    "KernelError",
    "KernelsUnusable",
    "Measurement",
    "Precision",
    "best",
    "build",
    "build_missing",
    "default_folder",
    "kept",
    "level",
    "load",
    "measure",
    "multiplies",
    "path_in",
    "precision_in_force",
]
