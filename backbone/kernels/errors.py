"""What can go wrong with kernels of our own.

KernelError
├── CompilerMissing    no C++ compiler to make them with
└── KernelsUnusable    they do not load, or do not give what the network gives
"""

from backbone.errors import BackboneError


class KernelError(BackboneError):
    """The kernels could not be made."""


class CompilerMissing(KernelError):
    """There is no C++ compiler on this machine."""


class KernelsUnusable(KernelError):
    """The library does not load here, or its results are not the modules'."""
