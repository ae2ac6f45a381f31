"""What can go wrong with compiled sub-layers.

CompileError
├── CompilerMissing    no C++ compiler to make programs with
└── ProgramUnusable    a program does not load, or does not give what the module gives
"""

from backbone.errors import BackboneError


class CompileError(BackboneError):
    """A program could not be made."""


class CompilerMissing(CompileError):
    """There is no C++ compiler on this machine."""


class ProgramUnusable(CompileError):
    """A program does not load here, or its output is not the module's."""
