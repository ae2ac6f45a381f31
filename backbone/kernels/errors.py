"""Errors of compiled kernels.

KernelError
├── CompilerMissing    no C++ compiler to make them with
└── KernelsUnusable    they do not load, or do not give what the network gives
"""

from backbone.errors import BackboneError


class KernelError(BackboneError):
    """Raised when the kernels could not be made."""

    title = "The kernels could not be made."


class CompilerMissing(KernelError):
    """Raised where a library has to be compiled and cannot be."""

    title = "There is no C++ compiler on this machine."


class KernelsUnusable(KernelError):
    """Raised when a library is refused before it computes anything for a caller."""

    title = "The library of kernels does not load here, or its results are not the modules'."
